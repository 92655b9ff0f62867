//! [`dropout`](crate::dropout) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::rng::Key;

/// `dropout::apply`; elements below `threshold` in the key's stream become 0, the others are scaled.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn apply(
    gpu: &dyn Gpu,
    input: &Tensor,
    threshold: u32,
    scale: f32,
    key: Key,
) -> Result<Tensor> {
    let count = input.elem_count();
    let [key, step] = key.words();
    let launch = Launch::elements(count.div_ceil(4));
    let [output] = Call::typed("dropout_apply", input.dtype(), launch)?
        .input(input)
        .output(input.shape())
        .u32(threshold)
        .f32(scale)
        .u64(key)
        .u64(step)
        .size(count)
        .run(gpu)?;
    Ok(output)
}
