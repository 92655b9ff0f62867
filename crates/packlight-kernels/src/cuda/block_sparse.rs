//! [`block_sparse`](crate::block_sparse) on a CUDA device. The scores of the blocks are copied to the CPU, which
//! says where those are that are kept.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::block_sparse::BlockSparse;

/// The scores of blocks, as many as (down, across).
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn scores(
    gpu: &dyn Gpu,
    input: &Tensor,
    (rows, columns): (usize, usize),
    block: usize,
    (down, across): (usize, usize),
) -> Result<Vec<f64>> {
    let count = down * across;
    let [scores] = Call::typed("block_sparse_scores", input.dtype(), Launch::warps(count))?
        .input(input)
        .output_of(DType::F64, count)
        .size(rows)
        .size(columns)
        .size(block)
        .size(across)
        .size(count)
        .run(gpu)?;
    Ok(scores.to_vec1()?)
}

/// The blocks (kept, block, block) at these places of a matrix.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn blocks(
    gpu: &dyn Gpu,
    input: &Tensor,
    size: (usize, usize),
    block: usize,
    places: &[usize],
) -> Result<Tensor> {
    let count = places.len() * block * block;
    let call = Call::typed("block_sparse_pack", input.dtype(), Launch::elements(count))?
        .input(input)
        .input_of(DType::I64, &on_device(places.iter().copied(), input)?)
        .output((places.len(), block, block));
    let [blocks] = with_sizes(call, count, size, block).run(gpu)?;
    Ok(blocks)
}

/// `BlockSparse::unpack`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn unpack(gpu: &dyn Gpu, packed: &BlockSparse, shape: &[usize]) -> Result<Tensor> {
    let (blocks, (_, block, _)) = (&packed.blocks, packed.blocks.dims3()?);
    let across = packed.size.1.div_ceil(block.max(1));
    let places = packed.placed()?.into_iter().map(|(row, column)| row * across + column);
    let matrix = Tensor::zeros(packed.size, blocks.dtype(), blocks.device())?;
    let count = blocks.elem_count();
    let call = Call::typed("block_sparse_unpack", blocks.dtype(), Launch::elements(count))?
        .in_out(&matrix)
        .input(blocks)
        .input_of(DType::I64, &on_device(places, blocks)?);
    let [] = with_sizes(call, count, packed.size, block).run(gpu)?;
    Ok(matrix.reshape(shape)?)
}

/// `BlockSparse::linear_weight_grad`, as a product with the whole matrix, which is cuBLAS's: its tensor cores
/// need large products more than few.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn linear_weight_grad(gpu: &dyn Gpu, packed: &BlockSparse, grad: &Tensor) -> Result<Tensor> {
    let (rows, columns) = packed.size;
    let outputs = grad.dims().last().copied().unwrap_or(0);
    let input = unpack(gpu, packed, &[rows, columns])?;
    super::linear::weight_grad(gpu, &input, grad, (columns, outputs))
}

/// Places of blocks, as a tensor beside another.
fn on_device(places: impl Iterator<Item = usize>, beside: &Tensor) -> candle_core::Result<Tensor> {
    let places: Vec<i64> = places.map(|place| place as i64).collect();
    let count = places.len();
    Tensor::from_vec(places, count, beside.device())
}

fn with_sizes(call: Call, count: usize, (rows, columns): (usize, usize), block: usize) -> Call {
    call.size(count).size(rows).size(columns).size(block).size(columns.div_ceil(block.max(1)))
}
