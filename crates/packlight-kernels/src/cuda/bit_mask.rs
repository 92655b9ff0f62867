//! [`bit_mask`](crate::bit_mask) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::bit_mask::misfit;

/// Elements of a line, as in `bit_mask.cu`.
const LINE: usize = 1024;

/// `bit_mask::non_zero`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn non_zero(gpu: &dyn Gpu, input: &Tensor) -> Result<Tensor> {
    let count = input.elem_count();
    let [mask] = Call::typed("bit_mask_non_zero", input.dtype(), Launch::elements(count))?
        .input(input)
        .output_of(DType::U8, count.div_ceil(8))
        .size(count)
        .run(gpu)?;
    Ok(mask)
}

/// `bit_mask::compress`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn compress(gpu: &dyn Gpu, input: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let lines = Lines::of(gpu, mask, input.elem_count())?;
    let [values] = Call::typed("bit_mask_compress", input.dtype(), lines.launch())?
        .input(input)
        .input_of(DType::U8, mask)
        .input_of(DType::I64, &lines.starts)
        .output(lines.set)
        .size(lines.count)
        .size(input.elem_count())
        .run(gpu)?;
    Ok(values)
}

/// `bit_mask::expand`.
///
/// # Errors
/// Returns an error if there are not as many values as set bits, the type is not supported, or the device
/// fails.
pub fn expand(gpu: &dyn Gpu, values: &Tensor, mask: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let elements = shape.iter().product();
    let lines = Lines::of(gpu, mask, elements)?;
    if lines.set != values.elem_count() {
        return Err(misfit(values.elem_count()));
    }
    let [output] = Call::typed("bit_mask_expand", values.dtype(), lines.launch())?
        .input(values)
        .input_of(DType::U8, mask)
        .input_of(DType::I64, &lines.starts)
        .output(shape)
        .size(lines.count)
        .size(elements)
        .run(gpu)?;
    Ok(output)
}

/// The indices (u32), in ascending order, of the set bits of the mask of so many elements.
///
/// # Errors
/// Returns an error if the device fails.
pub(super) fn indices(gpu: &dyn Gpu, mask: &Tensor, elements: usize) -> Result<Tensor> {
    let lines = Lines::of(gpu, mask, elements)?;
    let [indices] = Call::plain("bit_mask_indices", lines.launch())
        .input_of(DType::U8, mask)
        .input_of(DType::I64, &lines.starts)
        .output_of(DType::U32, lines.set)
        .size(lines.count)
        .size(elements)
        .run(gpu)?;
    Ok(indices)
}

/// The lines of a mask.
struct Lines {
    count: usize,
    /// How many set bits are before each line, and in all lines.
    starts: Tensor,
    /// The number of all set bits.
    set: usize,
}

impl Lines {
    fn of(gpu: &dyn Gpu, mask: &Tensor, elements: usize) -> Result<Self> {
        let count = elements.div_ceil(LINE);
        let [counts] = Call::plain("bit_mask_count", Launch::warps(count))
            .input_of(DType::U8, mask)
            .output_of(DType::I64, count)
            .size(count)
            .size(mask.elem_count())
            .run(gpu)?;
        let [starts] = Call::plain("bit_mask_starts", Launch::blocks(1))
            .input_of(DType::I64, &counts)
            .output_of(DType::I64, count + 1)
            .size(count)
            .run(gpu)?;
        let set = starts.get(count)?.to_scalar::<i64>()? as usize;
        Ok(Self { count, starts, set })
    }

    fn launch(&self) -> Launch {
        Launch::warps(self.count)
    }
}
