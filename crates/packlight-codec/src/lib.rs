//! Codecs: what a layer keeps of its input for the backward pass.
//!
//! A [`Codec`] packs a saved tensor; what it keeps is a [`Packed`], which knows its bytes, can be
//! unpacked, and may give a layer's weight gradient straight from the packed form. A new codec is
//! one file here and one line in [`registry::CODECS`].

pub mod actnn;
pub mod alam;
pub mod asi;
pub mod bitmap;
pub mod block_sparse;
pub mod blpa;
pub mod compact;
pub mod dither;
pub mod division;
pub mod fp8;
pub mod gact;
pub mod gradient_filter;
pub mod half;
pub mod hosvd;
pub mod identity;
pub mod merged_norm;
pub mod mesa;
pub mod pamm;
pub mod pool;
pub mod qb;
pub mod quantised;
pub mod registry;
pub mod resprop;
pub mod sign;
pub mod step_derivative;
pub mod svd;
pub mod swat;
pub mod top_k;
pub mod velora;

mod allocation;
mod codec;
mod codec_state;
mod error;
mod grouped;
mod ladder;
mod low_rank;
mod masked;
mod scaling;
mod selection;
mod spec;
mod tokens;
mod tucker;

pub use codec::{AxisLayout, Bytes, Calibration, Codec, Context, GradientMetric, Packed, Scope};
pub use codec_state::CodecState;
pub use error::{Error, Result};
pub use registry::parse;
