//! A tensor as the product of two factors: what codecs keep that cut its rank along one axis.

use std::ops::Bound;

use candle_core::Tensor;
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::gram::gram;
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_kernels::symmetric_eigen::{rank_for_energy, symmetric_eigen};

use crate::scaling::squarable;
use crate::spec::number;
use crate::{AxisLayout, Bytes, Codec, Error, Packed, Result};

/// `right` (k, ...) with its first axis turned into that of `left` (n,k), reshaped to what was
/// packed.
///
/// Only the k entries of `right` meet the weight's gradient: that of the output is summed over the
/// first axis with the weights of `left`, which leaves a gradient with k samples for n.
pub(crate) struct LowRank {
    pub(crate) left: Tensor,
    pub(crate) right: Tensor,
    pub(crate) shape: Vec<usize>,
}

impl LowRank {
    /// The output gradient summed over the first axis: of k samples.
    fn project(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(mode_product(grad, &self.left.t()?, 0)?)
    }
}

impl Packed for LowRank {
    fn bytes(&self) -> Bytes {
        bytes_of([&self.left, &self.right])
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(mode_product(&self.right, &self.left, 0)?.reshape(&self.shape[..])?)
    }

    fn conv2d_weight_grad(
        &self,
        grad: &Tensor,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        Ok(conv2d::weight_grad(&self.right, &self.project(grad)?, weight_shape, geometry)?)
    }

    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        let features = grad.dims().last().copied().unwrap_or(1);
        let axes =
            [&[self.left.dim(0)?], &self.right.dims()[1..self.right.rank() - 1], &[features]];
        let grad = grad.reshape(axes.concat())?;
        Ok(linear::weight_grad(&self.right, &self.project(&grad)?)?)
    }
}

/// The bytes of tensors whose elements are all payload.
pub(crate) fn bytes_of<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Bytes {
    let size = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
    Bytes { payload: tensors.into_iter().map(size).sum(), metadata: 0 }
}

/// The share of energy that `text`, a part of `spec`, asks to keep.
///
/// # Errors
/// If it is not above 0 and at most 1.
pub(crate) fn energy(spec: &str, text: &str) -> Result<f64> {
    let range = (Bound::Excluded(0.0), Bound::Included(1.0));
    number(spec, text, range, "the share of energy to keep, above 0 and at most 1, as in `0.8`,")
}

/// The leading left singular vectors (d,k) of the unfolding of `tensor` along an axis of length d:
/// the fewest whose squared singular values sum up to at least a share `energy` of all, and all of
/// them for a share of 1, which loses nothing.
///
/// They are the eigenvectors of the Gram matrix. Where the unfolding is taller than wide, those of
/// the smaller matrix on its other side are taken through the unfolding.
///
/// # Errors
/// If an element is not finite.
pub(crate) fn leading_vectors(tensor: &Tensor, axis: usize, energy: f64) -> Result<Tensor> {
    let tensor = &squarable(tensor)?;
    let leading = |tensor: &Tensor, axis| -> Result<Tensor> {
        let rank = |values: &[f64]| {
            if energy >= 1.0 { Ok(values.len()) } else { rank_for_energy(values, energy) }
        };
        let eigen = symmetric_eigen(&gram(tensor, axis)?, rank)?;
        Ok(eigen.vectors.to_dtype(tensor.dtype())?)
    };
    let length = tensor.dim(axis)?;
    if length * length <= tensor.elem_count() {
        return leading(tensor, axis);
    }
    let unfolding = unfold(tensor, axis)?;
    let right = leading(&unfolding, 1)?;
    Ok(orthonormalise(&linear::forward(&unfolding, &right.t()?, None)?)?)
}

/// The unfolding (d, ...) of a tensor along an axis of length d.
///
/// # Errors
/// If there is no such axis.
pub(crate) fn unfold(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    Ok(tensor.transpose(0, axis)?.contiguous()?.reshape((tensor.dim(axis)?, ()))?)
}

/// Refuses tensors that have no unfolding.
///
/// # Errors
/// If there are fewer than two axes, or images that are not (N,C,H,W), or no elements.
pub(crate) fn check(codec: &dyn Codec, shape: &[usize], axes: AxisLayout) -> Result<()> {
    let reason = match axes {
        AxisLayout::Images if shape.len() != 4 => "images (N,C,H,W) expected",
        _ if shape.len() < 2 => "at least two axes expected",
        _ if shape.contains(&0) => "it holds nothing",
        _ => return Ok(()),
    };
    Err(Error::Shape { codec: codec.name(), shape: shape.into(), reason: reason.into() })
}
