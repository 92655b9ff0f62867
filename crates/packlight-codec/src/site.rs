//! Where a codec is at work.

use std::fmt;

use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_kernels::rng::Key;

use crate::CodecState;

/// The place where a codec packs: which operation saves a tensor, at which layer and step.
#[derive(Debug)]
pub struct Site<'a> {
    /// The operation that saves the tensor.
    pub op: Op<'a>,
    /// What the axes of the tensor mean.
    pub axes: AxisLayout,
    /// The source of this layer's random numbers at this step.
    pub key: Key,
    /// The level, such as a number of bits, at which a trial packs; see
    /// [`Adaptive::measure`](crate::Adaptive::measure).
    pub level: Option<u8>,
    /// The codec's state at this save point, kept from one step to the next.
    pub state: &'a mut CodecState,
}

impl<'a> Site<'a> {
    /// A site outside of trials.
    pub fn new(op: Op<'a>, axes: AxisLayout, key: Key, state: &'a mut CodecState) -> Self {
        Self { op, axes, key, level: None, state }
    }
}

/// An operation that saves a tensor, and the gradient that needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// A convolution saves its input (N,C,H,W) for the gradient of its weight.
    Conv2d {
        /// The shape (O,C/groups,Kh,Kw) of the weight.
        weight_shape: &'a [usize],
        /// Stride, padding, dilation and groups.
        geometry: Conv2dGeometry,
    },
    /// A linear layer saves its input (..., features) for the gradient of its weight.
    Linear {
        /// The shape (outputs, features) of the weight.
        weight_shape: &'a [usize],
    },
    /// A batch or layer norm saves its input for the gradients of that input and of its weight.
    Norm,
    /// A GELU saves its input for the gradient of that input.
    Gelu,
    /// A SiLU saves its input for the gradient of that input.
    Silu,
    /// A ReLU saves one bit for each element, or shares what the norm before it has saved.
    Relu,
    /// A softmax saves its output for the gradient of its input.
    Softmax,
    /// A logistic function saves its output for the gradient of its input.
    Sigmoid,
    /// A hyperbolic tangent saves its output for the gradient of its input.
    Tanh,
    /// A product of two activations saves each for the gradient of the other.
    Matmul,
    /// A checkpointed segment saves its input, from which it is computed again.
    Segment,
    /// An operation from outside this workspace, by its name; it says which gradient it asks for.
    Custom(&'a str),
}

/// What the axes of a saved tensor mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AxisLayout {
    /// Images (N,C,H,W).
    Images,
    /// Tokens or samples (..., features).
    Tokens,
    /// The tokens of several attention heads (N, heads, tokens, features), or their scores
    /// (N, heads, tokens, tokens). Codecs that do not tell heads apart treat them as tokens.
    Heads,
}

/// What identifies a packed copy of a tensor; see [`Codec::share_key`](crate::Codec::share_key).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShareKey {
    packing: String,
    axes: AxisLayout,
}

impl ShareKey {
    /// The key of what `packing` names: a codec's spec, and whatever else decides what it packs.
    pub fn new(packing: impl Into<String>, axes: AxisLayout) -> Self {
        Self { packing: packing.into(), axes }
    }
}

impl fmt::Display for ShareKey {
    /// What packs it, and the meaning of the axes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes = match self.axes {
            AxisLayout::Images => "images",
            AxisLayout::Tokens => "tokens",
            AxisLayout::Heads => "heads",
        };
        write!(f, "{} of {axes}", self.packing)
    }
}
