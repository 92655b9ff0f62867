//! [`finite`](crate::finite) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::{Error, Result};

/// Elements of a piece, which a block looks through.
const PIECE: usize = 64 * 1024;

/// `finite::is_finite`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn is_finite(gpu: &dyn Gpu, tensor: &Tensor) -> Result<bool> {
    let mut found = tensor.clone();
    // Of each piece 0 or NaN, and of those pieces the same, until there is one.
    loop {
        let count = found.elem_count();
        let pieces = count.div_ceil(PIECE);
        if pieces == 0 {
            return Ok(true);
        }
        [found] = Call::typed("finite_pieces", found.dtype(), Launch::blocks(pieces))?
            .input(&found)
            .output_of(DType::F32, pieces)
            .size(count)
            .size(PIECE)
            .run(gpu)?;
        if pieces == 1 {
            return Ok(found.to_vec1::<f32>()? == [0.0]);
        }
    }
}

/// Returns an error if an element is NaN or infinite.
pub(crate) fn check(
    gpu: &dyn Gpu,
    kernel: &'static str,
    what: &'static str,
    tensor: &Tensor,
) -> Result<()> {
    match is_finite(gpu, tensor)? {
        true => Ok(()),
        false => Err(Error::NotFinite { kernel, what }),
    }
}
