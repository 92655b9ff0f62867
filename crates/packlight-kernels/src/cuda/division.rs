//! [`division`](crate::division) on a CUDA device: means of blocks, and the residual as [`quantise`] packs it.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch, quantise};
use crate::Result;
use crate::division::{Divided, Maps};
use crate::noise::Rounding;
use crate::quantise::Coded;

/// `division::pack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn pack(gpu: &dyn Gpu, input: &Tensor, maps: &Maps, rounding: Rounding) -> Result<Divided> {
    let elements = input.elem_count();
    let count = elements.checked_div(maps.elements()).unwrap_or(0);
    let blocks = count * maps.blocks();
    let call = Call::typed("division_means", input.dtype(), Launch::elements(blocks))?
        .input(input)
        .output_of(DType::BF16, (count, maps.blocks()))
        .size(blocks);
    let [means] = with_sizes(call, maps).run(gpu)?;
    let call = Call::typed("division_residual", input.dtype(), Launch::elements(elements))?
        .input(input)
        .input_of(DType::BF16, &means)
        .output_of(DType::F32, elements)
        .size(elements);
    let [left] = with_sizes(call, maps).run(gpu)?;
    let (codes, ranges) = quantise::pack(gpu, &left, &maps.grouping(), rounding)?;
    Ok(Divided { means, codes, ranges })
}

/// `division::unpack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpack(
    gpu: &dyn Gpu,
    divided: &Divided,
    maps: &Maps,
    shape: &[usize],
    dtype: DType,
) -> Result<Tensor> {
    let Divided { means, codes, ranges } = divided;
    let elements = shape.iter().product();
    let left = Coded { codes, ranges, grouping: maps.grouping(), shape, dtype: DType::F32 };
    let left = quantise::unpack(gpu, &left)?;
    let call = Call::typed("division_restore", dtype, Launch::elements(elements))?
        .input_of(DType::F32, &left)
        .input_of(DType::BF16, means)
        .output(shape)
        .size(elements);
    let [output] = with_sizes(call, maps).run(gpu)?;
    Ok(output)
}

/// Adds how the maps are divided into blocks.
fn with_sizes(call: Call, maps: &Maps) -> Call {
    call.size(maps.size.0)
        .size(maps.size.1)
        .size(maps.block.0)
        .size(maps.block.1)
        .size(maps.size.1.div_ceil(maps.block.1.max(1)))
        .size(maps.blocks())
}
