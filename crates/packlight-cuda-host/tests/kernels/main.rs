//! Every CUDA kernel against the CPU's, through the gates of `prove`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod activations;
mod attention;
mod batch_norm;
mod cross_entropy;
mod dropout;
mod elementwise;
mod gates;
mod layer_norm;
mod low_rank;
mod optimizer;
mod packers;
mod patches;
mod pooling;
mod products;
mod ptxas;
mod relu;
mod softmax;
mod sparse;

use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::Tolerance;
use packlight_kernels::rng::{Key, Purpose};

/// Normal random numbers, determined by the name.
fn sample(shape: impl Into<candle_core::Shape>, name: &str, dtype: DType) -> Tensor {
    let shape = shape.into();
    let mut stream = Key::new(5, Purpose::Sample).layer(name).stream();
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| stream.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// The same numbers in f32, in which the CPU's kernels compute.
fn wide(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::F32).unwrap()
}

/// Results of the CPU in the type of the kernel's: f32 becomes `dtype`, rounded once.
fn results(results: &[&Tensor], dtype: DType) -> Vec<Tensor> {
    let narrow = |t: &&Tensor| match t.dtype() {
        DType::F32 => t.to_dtype(dtype).unwrap(),
        _ => (*t).clone(),
    };
    results.iter().map(narrow).collect()
}

/// The types of the kernels, and sizes at which they must work.
fn cases(sizes: &[usize]) -> impl Iterator<Item = (DType, usize)> {
    sizes.iter().flat_map(|&size| [(DType::F32, size), (DType::BF16, size)])
}

/// The tolerance of sums that the CPU takes in another order: a few roundings of f32, or one of bf16, of the
/// largest.
fn close(dtype: DType) -> Tolerance {
    Tolerance::OfLargest(if dtype == DType::BF16 { 1.0 / 256.0 } else { 1e-6 })
}
