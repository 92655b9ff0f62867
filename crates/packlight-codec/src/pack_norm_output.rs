//! Codecs that pack what a norm has normalised.

use candle_core::{DType, Tensor};

use crate::{Bytes, Result, Site};

/// Packs the normalised values of a norm in place of its input, so that one copy serves the norm,
/// the ReLU behind it and the layer behind that.
pub trait PackNormOutput {
    /// The bytes that the packed values take, for normalised values of this shape and type; `None`
    /// where they depend on the values.
    fn norm_bytes(&self, normalised: &[usize], dtype: DType) -> Option<Bytes>;

    /// Packs the normalised values (N,C,...) of a norm with this weight and bias (C); those of a
    /// layer norm come as a matrix (tokens, features). Weight and bias stay the norm's own, so they
    /// count for no bytes.
    ///
    /// # Errors
    /// Returns an error if the codec cannot pack such a tensor.
    fn pack_norm_output(
        &self,
        normalised: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        site: &mut Site<'_>,
    ) -> Result<Box<dyn PackedNorm>>;
}

/// One packed copy that gives both what a norm has normalised and what it puts out.
pub trait PackedNorm: Send + Sync {
    /// The bytes that it takes.
    fn bytes(&self) -> Bytes;

    /// The normalised values, for the norm's own gradients.
    ///
    /// # Errors
    /// Returns an error if a kernel fails.
    fn normalised(&self) -> Result<Tensor>;

    /// The norm's output `weight * normalised + bias`, each value with its exact sign, for the
    /// layers behind the norm.
    ///
    /// # Errors
    /// Returns an error if a kernel fails.
    fn output(&self) -> Result<Tensor>;
}
