//! A tensor as a small core and a factor for each axis, which HOSVD and ASI save.

use candle_core::Tensor;
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;

use crate::{Bytes, Op, Packed, Result};

/// The core S (k0,k1,...) and the factors U_m (d_m,k_m), orthonormal columns, that make up a tensor
/// (d0,d1,...): S x_0 U_0 x_1 U_1 ...
pub(crate) struct Tucker {
    core: Tensor,
    factors: Vec<Tensor>,
}

impl Tucker {
    /// Projects a tensor onto what the factors, one for each axis, span.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit.
    pub(crate) fn project(tensor: &Tensor, factors: Vec<Tensor>) -> Result<Self> {
        // Of two axes, that first for which both products together take fewer multiplications.
        let order = |&axis: &usize| {
            let dims = factors[axis].dims();
            let inverse = |length: usize| (length.max(1) as f64).recip();
            inverse(dims[0]) - inverse(dims[1])
        };
        let mut axes: Vec<usize> = (0..factors.len()).collect();
        axes.sort_by(|a, b| order(a).total_cmp(&order(b)));
        let mut core = tensor.clone();
        for axis in axes {
            core = mode_product(&core, &factors[axis].t()?, axis)?;
        }
        Ok(Self { core, factors })
    }

    /// A tensor that is projected already.
    pub(crate) fn from_core(core: Tensor, factors: Vec<Tensor>) -> Self {
        Self { core, factors }
    }

    /// Five contractions: the output gradient over the samples, the core along height and width,
    /// a weight gradient with k0 samples and k1 channels, and that along the channels. In groups,
    /// the channels go before the weight gradient, since each sees only a part of them.
    fn conv2d_weight_grad(
        &self,
        grad: &Tensor,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Option<Tensor>> {
        let [samples, channels, rows, columns] = &self.factors[..] else {
            return Ok(None);
        };
        let grad = mode_product(grad, &samples.t()?, 0)?;
        let images = mode_product(&mode_product(&self.core, rows, 2)?, columns, 3)?;
        if geometry.groups > 1 {
            let images = mode_product(&images, channels, 1)?;
            return Ok(Some(conv2d::weight_grad(&images, &grad, weight_shape, geometry)?));
        }
        let mut narrow = weight_shape.to_vec();
        if let Some(depth) = narrow.get_mut(1) {
            *depth = channels.dim(1)?;
        }
        let narrow = conv2d::weight_grad(&images, &grad, &narrow, geometry)?;
        Ok(Some(mode_product(&narrow, channels, 1)?))
    }

    /// The output gradient over all axes but the features, with which the core gives the gradient
    /// of a weight of k features, and that along the features.
    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        let Some((features, leading)) = self.factors.split_last() else {
            return Ok(linear::weight_grad(&self.core, grad)?);
        };
        let mut grad = grad.clone();
        for (axis, factor) in leading.iter().enumerate() {
            grad = mode_product(&grad, &factor.t()?, axis)?;
        }
        Ok(mode_product(&linear::weight_grad(&self.core, &grad)?, features, 1)?)
    }
}

impl Packed for Tucker {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors(self.factors.iter().chain([&self.core]), [])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        let mut tensor = self.core.clone();
        for (axis, factor) in self.factors.iter().enumerate() {
            tensor = mode_product(&tensor, factor, axis)?;
        }
        Ok(tensor)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        match op {
            Op::Conv2d { weight_shape, geometry } => {
                self.conv2d_weight_grad(output_grad, weight_shape, &geometry)
            }
            Op::Linear { .. } => self.linear_weight_grad(output_grad).map(Some),
            _ => Ok(None),
        }
    }
}
