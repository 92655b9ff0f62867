//! [`dropout`](crate::dropout) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::dropout::Mask;

/// `dropout::apply` to neighbouring elements of a tensor, of which the input's is the `first`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn apply(gpu: &dyn Gpu, input: &Tensor, mask: &Mask, first: usize) -> Result<Tensor> {
    let count = input.elem_count();
    let [key, step] = mask.key.words();
    let launch = Launch::elements((first % 4 + count).div_ceil(4));
    let [output] = Call::typed("dropout_apply", input.dtype(), launch)?
        .input(input)
        .output(input.shape())
        .u32(mask.threshold)
        .f32(mask.scale as f32)
        .u64(key)
        .u64(step)
        .size(first)
        .size(count)
        .run(gpu)?;
    Ok(output)
}
