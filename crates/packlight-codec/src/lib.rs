//! Codecs: what a layer saves of a tensor for the backward pass.
//!
//! A [`Codec`] packs a tensor at a [`Site`], the place where an operation saves it. What it returns
//! is a [`Packed`]: it knows its bytes, unpacks to the tensor, and may give a gradient straight from
//! its packed form. The codecs lie in one module per family, each file named after its method and
//! its paper. [`registry::CODECS`] lists them all; [`registry::register`] adds your own.

mod adaptive;
mod codec;
mod codec_state;
mod error;
mod grammar;
mod pack_norm_output;
pub mod registry;
mod rewrite_gradients;
mod rewrite_operands;
mod site;

pub mod derivative;
pub mod float;
pub mod gradient;
pub mod identity;
pub mod low_rank;
pub mod norm;
pub mod pool;
pub mod projection;
pub mod quantise;
pub mod sign;
pub mod sparse;

pub use adaptive::{Adaptive, Calibration, GradientMetric};
pub use codec::{Bytes, Codec, Packed, Scope};
pub use codec_state::CodecState;
pub use error::{Error, Result};
pub use pack_norm_output::{PackNormOutput, PackedNorm};
pub use registry::parse;
pub use rewrite_gradients::RewriteGradients;
pub use rewrite_operands::RewriteOperands;
pub use site::{AxisLayout, Op, ShareKey, Site};
