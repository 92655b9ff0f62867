//! The contract between codecs and the layers that keep with them.

use std::fmt;

use candle_core::{DType, Tensor};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::linear;
use packlight_record::LayerKind;

use crate::Result;

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
pub enum InputForm {
    /// Images (N,C,H,W).
    Images,
    /// Tokens or samples (..., features).
    Tokens,
}

/// Turns a saved tensor into something smaller.
pub trait Codec: fmt::Debug + Send + Sync {
    /// The codec as a plan writes it, such as `pool2`; two codecs of the same name pack alike.
    fn name(&self) -> String;

    /// The kinds of layer that a plan's `default` gives this codec to: those of its paper.
    fn scope(&self) -> &'static [LayerKind];

    /// The bytes that packing a tensor of this shape will take.
    ///
    /// # Errors
    /// If the codec cannot pack such a tensor.
    fn bytes(&self, shape: &[usize], dtype: DType, form: InputForm) -> Result<Bytes>;

    /// Packs a tensor.
    ///
    /// # Errors
    /// If the codec cannot pack such a tensor.
    fn pack(&self, input: &Tensor, form: InputForm) -> Result<Box<dyn Packed>>;
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
}
