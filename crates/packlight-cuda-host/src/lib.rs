//! The CUDA kernels on the CPU, for tests on machines without a GPU.
//!
//! `shim/` is a small model of CUDA in C++ that compiles the very `.cu` files with the machine's C++
//! compiler. [`Host`] runs the calls that a GPU would get, with the same blocks and arguments, and
//! [`prove`] puts them through the gates that a kernel must pass before it is worth a GPU's time:
//!
//! 1. its results are those of the CPU's kernel, to the byte or within a stated tolerance;
//! 2. they have the same bytes under three orders of threads, and with fewer blocks than the launch asks
//!    for;
//! 3. the address and undefined-behaviour sanitizers find nothing, with tensors of exactly their size;
//! 4. `ptxas` compiles it without spills ([`ptxas`], where there is an `nvcc`).
//!
//! Races, the true order of atomics and anything about speed stay unseen. With the `cuda` feature, on a
//! machine with a card, [`prove`] also runs the kernels there.

#[cfg(feature = "cuda")]
mod card;
mod host;
mod prove;
pub mod ptxas;

pub use host::{Host, Order};
pub use prove::{Tolerance, here, prove};
