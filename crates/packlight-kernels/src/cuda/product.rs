//! Matrix products on a CUDA device.

use candle_core::Tensor;

use super::Gpu;
use crate::{Error, Result};

/// The product of two matrices, or of each two of two batches ([`Gpu::product`]); the error of a lack of memory says
/// how much it takes, and for which `kernel`.
pub(super) fn product(
    gpu: &dyn Gpu,
    kernel: &'static str,
    left: &Tensor,
    right: &Tensor,
) -> Result<Tensor> {
    gpu.product(left, right).map_err(|error| {
        let columns = |tensor: &Tensor| tensor.dims().last().copied().unwrap_or_default();
        let rows = left.elem_count().checked_div(columns(left)).unwrap_or_default();
        let bytes = rows * columns(right) * left.dtype().size_in_bytes();
        Error::from(error).asking(kernel, bytes)
    })
}
