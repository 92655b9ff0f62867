//! The contract between codecs and the layers that keep with them.

use std::fmt;

use candle_core::{DType, Tensor};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::rng::Key;
use packlight_kernels::{gelu, linear, silu};
use packlight_record::LayerKind;

use crate::merged_norm::Merged;
use crate::{CodecState, Error, Result};

/// Bytes that a packed tensor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// The data itself.
    pub payload: usize,
    /// Scales, indices, shapes and the like.
    pub metadata: usize,
}

impl Bytes {
    /// Payload and metadata together.
    pub fn total(self) -> usize {
        self.payload + self.metadata
    }
}

/// What the axes of a saved tensor mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AxisLayout {
    /// Images (N,C,H,W).
    Images,
    /// Tokens or samples (..., features).
    Tokens,
    /// Tokens of several heads of attention (N, heads, tokens, features), or how well they fit one
    /// another: tokens to all but those codecs that tell heads apart.
    Heads,
}

/// Where a codec is at work: for which tensor of which layer, at which step.
pub struct Context<'a> {
    /// What the axes of the saved tensor mean.
    pub axes: AxisLayout,
    /// The random numbers of this layer at this step.
    pub key: Key,
    /// What the codec remembers of this layer.
    pub state: &'a mut CodecState,
}

/// What of the gradients tells how much they are disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientMetric {
    /// Every entry.
    Entries,
    /// The norm of each parameter's gradient.
    Norms,
}

/// What a trainer measures of a layer for its codec, by backward passes in which that layer alone is
/// packed at another level: with what it finds in [`CodecState::trial`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calibration {
    /// One number. With g0 and g1 what is disturbed of the gradients of all parameters with the
    /// layer in one bit, drawn twice, and g2 the same in eight bits, the largest of |g0 - g1|^2,
    /// 2 |g0 - g2|^2 and 2 |g1 - g2|^2 (Liu et al., "GACT", ICML 2022).
    Sensitivity(GradientMetric),
    /// A number for each of these levels: the distance |g - g0| of the gradients of all parameters
    /// from those at level 0 (the perplexity of Nguyen et al., "ASI", ICML 2025: where the layer is
    /// a conv or linear one, only its own weight's gradient differs).
    Distances(&'static [u8]),
}

/// Which layers a codec is for where a plan does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All layers of these kinds.
    Kinds(&'static [LayerKind]),
    /// The linear layers of a transformer or mixer up to this level of auxiliary sign activation:
    /// 1 the second of a feed-forward pair, 2 both, 3 the attention's output projection too, 4 its
    /// query, key and value projections too (Woo and Jeon, ICLR 2023).
    Auxiliary(u8),
}

/// Turns a saved tensor into something smaller.
///
/// `pack` is all that most codecs are. The methods after it are for those that act elsewhere than
/// on the saved input, too; by default they change nothing. The forward pass stays exact unless a
/// codec overrides [`Codec::input`] or [`Codec::weight`], which only those do whose papers say so.
pub trait Codec: fmt::Debug + Send + Sync {
    /// The codec as a plan writes it, such as `pool2`; two codecs of the same name pack alike.
    fn name(&self) -> String;

    /// The codec that packs just as this one does, by name: layers with the same share one copy.
    fn packs_as(&self) -> String {
        self.name()
    }

    /// The layers that a plan's `default` gives this codec to: those of its paper.
    fn scope(&self) -> Scope;

    /// The bytes that packing a tensor of this shape will take; `None` where that depends on the
    /// tensor's values or on the layer.
    ///
    /// # Errors
    /// If the codec cannot pack such a tensor.
    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>>;

    /// Packs a tensor.
    ///
    /// Finite values of a magnitude up to 1e30 are restored as finite ones. Where a value is not
    /// finite, packing is an error or some restored value is not finite either, so that the loss or
    /// a gradient shows it; larger values than 1e30 may do the same.
    ///
    /// # Errors
    /// If the codec cannot pack such a tensor.
    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>>;

    /// Packs the input of a convolution, for codecs to which its kernel and geometry matter.
    ///
    /// # Errors
    /// If the codec cannot pack such a tensor.
    fn pack_conv2d(
        &self,
        input: &Tensor,
        _weight_shape: &[usize],
        _geometry: &Conv2dGeometry,
        context: &mut Context<'_>,
    ) -> Result<Box<dyn Packed>> {
        self.pack(input, context)
    }

    /// What a conv or linear layer computes with in the place of its input, in training and in
    /// evaluation; `None` for the input itself.
    ///
    /// # Errors
    /// If a kernel fails.
    fn input(&self, _input: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What a conv or linear layer computes with in the place of its weight, in training and in
    /// evaluation; `None` for the weight itself. The weight's gradient goes to all of it.
    ///
    /// # Errors
    /// If a kernel fails.
    fn weight(&self, _weight: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What a conv or linear layer's backward pass works with in the place of the gradient of its
    /// output; `None` for the gradient itself.
    ///
    /// # Errors
    /// If a kernel fails.
    fn output_grad(&self, _grad: &Tensor, _context: &mut Context<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Looks at the exact gradient of the output of a conv or linear layer with a weight of this
    /// shape, before the backward pass uses it.
    ///
    /// # Errors
    /// If a kernel fails.
    fn observe_output_grad(
        &self,
        _grad: &Tensor,
        _weight_shape: &[usize],
        _context: &mut Context<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// The gradient of a convolution's input (N,C,H,W), from the gradient of its output.
    ///
    /// # Errors
    /// If the shapes do not fit or a kernel fails.
    fn conv2d_input_grad(
        &self,
        grad: &Tensor,
        weight: &Tensor,
        input_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        Ok(conv2d::input_grad(grad, weight, input_shape, geometry)?)
    }

    /// Whether a norm packs what it has normalised in the place of its input, and that one copy also
    /// serves the ReLU behind it and the layer behind that; see [`Codec::pack_cell`].
    fn packs_cells(&self) -> bool {
        false
    }

    /// What a trainer is to measure, if anything, before step `step` of `steps`, of how much each
    /// layer's packing disturbs the gradients.
    fn calibrates(&self, _step: u64, _steps: u64) -> Option<Calibration> {
        None
    }

    /// Takes what was measured of one layer, once all have been.
    ///
    /// # Errors
    /// If it cannot be remembered.
    fn calibrated(&self, _measured: &[f64], _memory: &mut CodecState) -> Result<()> {
        Ok(())
    }

    /// Packs the normalised values (N,C,...) of a norm with this weight and bias (C), where
    /// [`Codec::packs_cells`]; those of a layer norm as a matrix (tokens, features).
    ///
    /// What is packed gives the norm its normalised values back by [`Packed::normalised`], whatever
    /// its weight, and unpacks to its output `weight * normalised + bias`, each value with its exact
    /// sign. Weight and bias are the layer's own and count for nothing.
    ///
    /// # Errors
    /// If the codec cannot pack such a tensor.
    fn pack_cell(
        &self,
        normalised: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        context: &mut Context<'_>,
    ) -> Result<Box<dyn Packed>> {
        Ok(Box::new(Merged::new(self.pack(normalised, context)?, weight, bias)))
    }

    /// Shares out what all layers with this codec may take, after each step of training, by what
    /// each one's memory says. In forward order.
    ///
    /// # Errors
    /// If a kernel fails.
    fn allocate(&self, _layers: &mut [&mut CodecState]) -> Result<()> {
        Ok(())
    }
}

/// What a codec keeps of a tensor.
pub trait Packed: Send + Sync {
    /// The bytes that it takes.
    fn bytes(&self) -> Bytes;

    /// The tensor as the backward pass sees it, of the shape and type that was packed.
    ///
    /// # Errors
    /// If a kernel fails.
    fn unpack(&self) -> Result<Tensor>;

    /// The normalised values of the norm that packed this as a cell; see [`Codec::pack_cell`].
    ///
    /// # Errors
    /// If it is no cell, or a kernel fails.
    fn normalised(&self) -> Result<Tensor> {
        let reason = "what is kept is no norm's cell".into();
        Err(Error::Layer { codec: "cell".into(), reason })
    }

    /// Whether this copy also serves another convolution of the same input, with this kernel and
    /// geometry.
    fn serves_conv2d(&self, _weight_shape: &[usize], _geometry: &Conv2dGeometry) -> bool {
        true
    }

    /// The weight gradient of the convolution whose input was packed.
    ///
    /// # Errors
    /// If the shapes do not fit or a kernel fails.
    fn conv2d_weight_grad(
        &self,
        grad: &Tensor,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        Ok(conv2d::weight_grad(&self.unpack()?, grad, weight_shape, geometry)?)
    }

    /// The weight gradient of the linear layer whose input was packed.
    ///
    /// # Errors
    /// If the shapes do not fit or a kernel fails.
    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(linear::weight_grad(&self.unpack()?, grad)?)
    }

    /// The gradient of the input of the GELU whose input was packed.
    ///
    /// # Errors
    /// If the shapes do not fit or a kernel fails.
    fn gelu_grad(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(gelu::backward(&self.unpack()?, grad)?)
    }

    /// The gradient of the input of the SiLU whose input was packed.
    ///
    /// # Errors
    /// If the shapes do not fit or a kernel fails.
    fn silu_grad(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(silu::backward(&self.unpack()?, grad)?)
    }
}
