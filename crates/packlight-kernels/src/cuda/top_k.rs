//! [`top_k`](crate::top_k) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch, bit_mask};
use crate::Result;
use crate::top_k::outside;

/// Elements of a piece, which a block counts.
const PIECE: usize = 64 * 1024;

/// The bits of a magnitude, and those of it that are read at a time.
const MAGNITUDE: u32 = 31;
const DIGIT: u32 = 11;

/// `top_k::indices`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn indices(gpu: &dyn Gpu, input: &Tensor, count: usize) -> Result<Tensor> {
    bit_mask::indices(gpu, &mask(gpu, input, 1, count)?, input.elem_count())
}

/// `top_k::mask`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn mask(gpu: &dyn Gpu, input: &Tensor, parts: usize, count: usize) -> Result<Tensor> {
    let elements = input.elem_count();
    let bytes = elements.div_ceil(8);
    let Some(cut) = Cut::new(gpu, input, parts, count)? else {
        return Ok(Tensor::zeros(bytes, DType::U8, input.device())?);
    };
    let [mask] = Call::typed("top_k_mask", input.dtype(), Launch::elements(elements))?
        .input(input)
        .input_of(DType::I64, &cut.state)
        .input_of(DType::I64, &cut.last)
        .output_of(DType::U8, bytes)
        .size(elements)
        .size(elements / parts)
        .run(gpu)?;
    Ok(mask)
}

/// `top_k::largest`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn largest(gpu: &dyn Gpu, input: &Tensor, count: usize) -> Result<Tensor> {
    let elements = input.elem_count();
    let Some(cut) = Cut::new(gpu, input, 1, count)? else {
        return Ok(input.zeros_like()?);
    };
    let [output] = Call::typed("top_k_largest", input.dtype(), Launch::elements(elements))?
        .input(input)
        .input_of(DType::I64, &cut.state)
        .input_of(DType::I64, &cut.last)
        .output(input.shape())
        .size(elements)
        .size(elements)
        .run(gpu)?;
    Ok(output)
}

/// `top_k::gather`.
///
/// # Errors
/// Returns an error if an index lies outside, the type is not supported, or the device fails.
pub fn gather(gpu: &dyn Gpu, input: &Tensor, indices: &Tensor) -> Result<Tensor> {
    check(indices, input.elem_count())?;
    let count = indices.elem_count();
    let [values] = Call::typed("top_k_gather", input.dtype(), Launch::elements(count))?
        .input(input)
        .input_of(DType::U32, indices)
        .output(count)
        .size(count)
        .run(gpu)?;
    Ok(values)
}

/// `top_k::scatter`.
///
/// # Errors
/// Returns an error if an index lies outside, the type is not supported, or the device fails.
pub fn scatter(
    gpu: &dyn Gpu,
    values: &Tensor,
    indices: &Tensor,
    shape: &[usize],
) -> Result<Tensor> {
    put_into(gpu, Tensor::zeros(shape, values.dtype(), values.device())?, values, indices)
}

/// `top_k::put`.
///
/// # Errors
/// Returns an error if an index lies outside, the type is not supported, or the device fails.
pub fn put(gpu: &dyn Gpu, input: &Tensor, values: &Tensor, indices: &Tensor) -> Result<Tensor> {
    put_into(gpu, input.contiguous()?.copy()?, values, indices)
}

fn put_into(gpu: &dyn Gpu, target: Tensor, values: &Tensor, indices: &Tensor) -> Result<Tensor> {
    check(indices, target.elem_count())?;
    let count = indices.elem_count();
    let [] = Call::typed("top_k_put", target.dtype(), Launch::elements(count))?
        .in_out(&target)
        .input(values)
        .input_of(DType::U32, indices)
        .size(count)
        .run(gpu)?;
    Ok(target)
}

/// The greatest of indices (u32); `None` if there are none.
///
/// # Errors
/// Returns an error if they are not u32 or the device fails.
pub(super) fn greatest(indices: &Tensor) -> Result<Option<u32>> {
    match indices.elem_count() {
        0 => Ok(None),
        _ => Ok(Some(indices.flatten_all()?.max(0)?.to_scalar::<u32>()?)),
    }
}

fn check(indices: &Tensor, elements: usize) -> Result<()> {
    match greatest(indices)? {
        Some(index) if index as usize >= elements => Err(outside(index)),
        _ => Ok(()),
    }
}

/// Separates the largest elements of each part from the others.
struct Cut {
    /// For each part the last magnitude that is taken, and how many elements of it.
    state: Tensor,
    /// The index within its part of the last one of these.
    last: Tensor,
}

impl Cut {
    /// The cut that takes `count` elements of each of `parts` equal parts, which have that many; `None` if
    /// that is none.
    fn new(gpu: &dyn Gpu, input: &Tensor, parts: usize, count: usize) -> Result<Option<Self>> {
        let length = input.elem_count().checked_div(parts).unwrap_or(0);
        if length * count == 0 {
            return Ok(None);
        }
        let pieces = length.div_ceil(PIECE);
        let launch = Launch::blocks(parts * pieces);
        let start: Vec<i64> = (0..parts).flat_map(|_| [0, count as i64]).collect();
        let mut state = Tensor::from_vec(start, (parts, 2), input.device())?;
        let mut shift = MAGNITUDE;
        while shift > 0 {
            let digit = DIGIT.min(shift);
            let [counts] = Call::typed("top_k_histogram", input.dtype(), launch)?
                .input(input)
                .input_of(DType::I64, &state)
                .output_of(DType::U32, (parts * pieces, 1 << digit))
                .size(parts)
                .size(length)
                .size(pieces)
                .size(PIECE)
                .u32(shift)
                .u32(digit)
                .run(gpu)?;
            [state] = Call::plain("top_k_digit", Launch::blocks(parts))
                .input_of(DType::U32, &counts)
                .input_of(DType::I64, &state)
                .output_of(DType::I64, (parts, 2))
                .size(parts)
                .size(pieces)
                .u32(digit)
                .run(gpu)?;
            shift -= digit;
        }
        let with_sizes = |call: Call| call.size(parts).size(length).size(pieces).size(PIECE);
        let call = Call::typed("top_k_equal", input.dtype(), launch)?
            .input(input)
            .input_of(DType::I64, &state)
            .output_of(DType::I64, parts * pieces);
        let [equal] = with_sizes(call).run(gpu)?;
        let call = Call::typed("top_k_last", input.dtype(), Launch::warps(parts))?
            .input(input)
            .input_of(DType::I64, &state)
            .input_of(DType::I64, &equal)
            .output_of(DType::I64, parts);
        let [last] = with_sizes(call).run(gpu)?;
        Ok(Some(Self { state, last }))
    }
}
