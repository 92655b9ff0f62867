//! [`quantise`](crate::quantise) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::quantise::{Bits, Coded, Grouping, Layout, Rounding, packed};

/// `quantise::pack`.
///
/// # Errors
/// Returns an error if the grouping does not fit the tensor, the type is not supported, or the device
/// fails.
pub fn pack(
    gpu: &dyn Gpu,
    input: &Tensor,
    grouping: &Grouping<'_>,
    rounding: Rounding,
) -> Result<(Tensor, Tensor)> {
    let layout = Layout::new(input.elem_count(), grouping)?;
    let call = Call::typed("quantise_pack", input.dtype(), Launch::warps(layout.groups()))?
        .input(input)
        .output_of(DType::U8, layout.bytes)
        .output_of(DType::BF16, (layout.groups(), 2));
    let call = with_noise(call, gpu, &layout, rounding)?;
    let [codes, ranges] = with_layout(call, &layout, input)?.run(gpu)?;
    Ok((codes, ranges))
}

/// `quantise::pack_within`.
///
/// # Errors
/// Returns an error if the grouping or the ranges do not fit the tensor, the type is not supported, or
/// the device fails.
pub fn pack_within(
    gpu: &dyn Gpu,
    input: &Tensor,
    ranges: &Tensor,
    grouping: &Grouping<'_>,
    rounding: Rounding,
) -> Result<Tensor> {
    let layout = Layout::new(input.elem_count(), grouping)?;
    layout.check_ranges(ranges, layout.groups_per_row)?;
    let call = Call::typed("quantise_pack_within", input.dtype(), Launch::warps(layout.groups()))?
        .input(input)
        .input_of(DType::F32, ranges)
        .output_of(DType::U8, layout.bytes);
    let call = with_noise(call, gpu, &layout, rounding)?;
    let [codes] = with_layout(call, &layout, input)?.run(gpu)?;
    Ok(codes)
}

/// `quantise::unpack`.
///
/// # Errors
/// Returns an error if the sizes do not fit, the type is not supported, or the device fails.
pub fn unpack(gpu: &dyn Gpu, coded: &Coded<'_>) -> Result<Tensor> {
    let (layout, ranges, shared) = packed(coded)?;
    let call = Call::typed("quantise_unpack", coded.dtype, Launch::warps(layout.groups()))?
        .input_of(DType::U8, coded.codes)
        .input_of(DType::F32, &ranges)
        .output(coded.shape)
        .u32(shared.into());
    let [output] = with_layout(call, &layout, coded.codes)?.run(gpu)?;
    Ok(output)
}

/// `quantise::extremes`.
///
/// # Errors
/// Returns an error if the grouping does not fit the tensor, the type is not supported, or the device
/// fails.
pub fn extremes(gpu: &dyn Gpu, input: &Tensor, row: usize, group: usize) -> Result<Tensor> {
    let layout = Layout::new(input.elem_count(), &Grouping { row, group, bits: Bits::All(1) })?;
    let groups = layout.groups();
    let [found] = Call::typed("quantise_extremes", input.dtype(), Launch::warps(groups))?
        .input(input)
        .output_of(DType::F32, (groups, 2))
        .size(layout.row)
        .size(layout.group)
        .size(groups)
        .run(gpu)?;
    Ok(found)
}

/// Adds where each group's noise begins, its key, and the groups of a piece.
fn with_noise(call: Call, gpu: &dyn Gpu, layout: &Layout<'_>, rounding: Rounding) -> Result<Call> {
    let (groups, per_piece) = (layout.groups(), layout.groups_per_piece());
    let (starts, [key, step]) = match rounding {
        Rounding::Nearest => (None, [0, 0]),
        Rounding::Stochastic(key) => {
            let launch = Launch::elements(groups.div_ceil(per_piece));
            let [starts] = Call::plain("quantise_noise", launch)
                .output_of(DType::I64, groups)
                .size(layout.row)
                .size(layout.group)
                .size(groups)
                .size(per_piece)
                .run(gpu)?;
            (Some(starts), key.words())
        }
    };
    Ok(call.optional_of(DType::I64, starts.as_ref()).u64(key).u64(step).size(per_piece))
}

/// Adds how the tensor is divided, with tables of its rows beside a tensor on the same device.
fn with_layout(call: Call, layout: &Layout<'_>, beside: &Tensor) -> Result<Call> {
    let call = call.size(layout.row).size(layout.group).size(layout.groups());
    Ok(match layout.bits {
        Bits::All(bits) => call
            .u32(bits.into())
            .size(layout.row_bytes)
            .optional_of(DType::U8, None)
            .optional_of(DType::I64, None),
        Bits::PerRow(bits) => {
            let starts: Vec<i64> = layout.starts.iter().map(|&start| start as i64).collect();
            let rows = bits.len();
            let bits = Tensor::from_slice(bits, rows, beside.device())?;
            let starts = Tensor::from_vec(starts, rows, beside.device())?;
            call.u32(0).size(0).input_of(DType::U8, &bits).input_of(DType::I64, &starts)
        }
    })
}
