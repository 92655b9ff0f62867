//! A tensor as the product of two factors, for codecs that cut its rank along one axis.

use candle_core::{DType, Tensor};
use packlight_kernels::conv2d;
use packlight_kernels::gram::gram;
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_kernels::symmetric_eigen::{rank_for_energy, symmetric_eigen};

use crate::grammar::{Kind, Parameter};
use crate::{AxisLayout, Bytes, Codec, Error, Op, Packed, Result};

/// The product of `left` (n,k) with `right` (k, ...), reshaped to what was packed.
///
/// The weight's gradient needs only the k entries of `right`: the output's gradient is contracted
/// with `left` over its first axis, which leaves k samples instead of n.
pub(crate) struct LowRank {
    pub(crate) left: Tensor,
    pub(crate) right: Tensor,
    pub(crate) shape: Vec<usize>,
}

impl LowRank {
    /// The output gradient contracted over the first axis: k samples.
    fn project(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(mode_product(grad, &self.left.t()?, 0)?)
    }
}

impl Packed for LowRank {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.left, &self.right], [])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(mode_product(&self.right, &self.left, 0)?.reshape(&self.shape[..])?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(match op {
            Op::Conv2d { weight_shape, geometry } => {
                let grad = self.project(output_grad)?;
                Some(conv2d::weight_grad(&self.right, &grad, weight_shape, &geometry)?)
            }
            Op::Linear { .. } => {
                let features = output_grad.dims().last().copied().unwrap_or(1);
                let axes = [
                    &[self.left.dim(0)?],
                    &self.right.dims()[1..self.right.rank() - 1],
                    &[features],
                ];
                let grad = self.project(&output_grad.reshape(axes.concat())?)?;
                Some(linear::weight_grad(&self.right, &grad)?)
            }
            _ => None,
        })
    }
}

/// The parameter of codecs that keep a share of a tensor's energy.
pub(crate) const ENERGY: Parameter =
    Parameter::new("eps", Kind::Positive(1.0), "share of the energy that is kept");

/// The leading left singular vectors (d,k) of the unfolding of `tensor`, which can be squared
/// ([`squarable`](super::scaling::squarable)), along an axis of length d: the fewest whose squared singular values sum up to at least a share `energy` of all, and all of
/// them for a share of 1, which loses nothing.
///
/// They are the eigenvectors of the Gram matrix. Where the unfolding is taller than wide, those of
/// the smaller matrix on its other side are taken through the unfolding.
///
/// # Errors
/// Returns an error if an element is not finite.
pub(crate) fn leading_vectors(tensor: &Tensor, axis: usize, energy: f64) -> Result<Tensor> {
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
/// Returns an error if there is no such axis.
pub(crate) fn unfold(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    Ok(tensor.transpose(0, axis)?.contiguous()?.reshape((tensor.dim(axis)?, ()))?)
}

/// The fewest and the most bytes of a core and a factor for each axis: those of ranks of 1, and of full
/// ranks.
pub(crate) fn core_bounds(shape: &[usize], dtype: DType) -> [usize; 2] {
    let elements: usize = shape.iter().product();
    let full = |axis: usize| axis.min(elements / axis.max(1));
    let [mut core, mut factors] = [1, 0];
    for &axis in shape {
        core *= full(axis);
        factors += axis * full(axis);
    }
    let ones = 1 + shape.iter().sum::<usize>();
    [ones, core + factors].map(|numbers| numbers * dtype.size_in_bytes())
}

/// Refuses tensors that have no unfolding.
///
/// # Errors
/// Returns an error if there are fewer than two axes, or images that are not (N,C,H,W), or no
/// elements.
pub(crate) fn check(codec: &dyn Codec, shape: &[usize], axes: AxisLayout) -> Result<()> {
    let reason = match axes {
        AxisLayout::Images if shape.len() != 4 => "images (N,C,H,W) expected",
        _ if shape.len() < 2 => "at least two axes expected",
        _ if shape.contains(&0) => "it holds nothing",
        _ => return Ok(()),
    };
    Err(Error::Shape { codec: codec.spec(), shape: shape.into(), reason: reason.into() })
}
