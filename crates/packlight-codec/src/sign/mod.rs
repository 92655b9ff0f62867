//! Signs.

pub mod auxiliary;
