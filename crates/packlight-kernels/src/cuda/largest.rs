//! [`largest`](fn@crate::largest::largest) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;

/// Elements of a piece, which a block looks through.
const PIECE: usize = 64 * 1024;

/// `largest`; infinity if an element is not finite.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn largest(gpu: &dyn Gpu, input: &Tensor) -> Result<f64> {
    let mut found = input.clone();
    // Of each piece, and of those pieces, until there is one.
    loop {
        let count = found.elem_count();
        let pieces = count.div_ceil(PIECE);
        if pieces == 0 {
            return Ok(0.0);
        }
        [found] = Call::typed("largest_pieces", found.dtype(), Launch::blocks(pieces))?
            .input(&found)
            .output_of(DType::F32, pieces)
            .size(count)
            .size(PIECE)
            .run(gpu)?;
        if pieces == 1 {
            return Ok(found.get(0)?.to_scalar::<f32>()?.into());
        }
    }
}
