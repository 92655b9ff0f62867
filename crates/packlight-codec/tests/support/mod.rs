//! What the tests of codecs have in common.

#![allow(dead_code)] // not every test file needs all of it

use candle_core::{DType, Device, Tensor};
use packlight_codec::{Context, InputForm, Memory, Packed, parse};
use packlight_kernels::rng::{Key, Purpose};

/// Standard normal numbers.
pub(crate) fn sample(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Key::new(seed, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(crate) fn dot(a: &Tensor, b: &Tensor) -> f64 {
    let product = (a * b).unwrap().to_dtype(DType::F64).unwrap();
    product.sum_all().unwrap().to_scalar().unwrap()
}

/// 1 - |x - y|^2 / |x|^2, for what was restored of `x`.
pub(crate) fn learning_indicator(restored: &Tensor, x: &Tensor) -> f64 {
    let gap = (x - restored).unwrap();
    1.0 - dot(&gap, &gap) / dot(x, x)
}

/// The largest difference.
pub(crate) fn gap(a: &Tensor, b: &Tensor) -> f64 {
    let gap = (a - b).unwrap().abs().unwrap().to_dtype(DType::F64).unwrap();
    gap.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Packs at a layer of which nothing is remembered.
pub(crate) fn pack(codec: &str, x: &Tensor, form: InputForm) -> Box<dyn Packed> {
    let key = Key::new(1, Purpose::Codec);
    let codec = parse(codec).unwrap();
    codec.pack(x, &mut Context { form, key, memory: &mut Memory::default() }).unwrap()
}

pub(crate) fn restore(codec: &str, x: &Tensor, form: InputForm) -> Tensor {
    pack(codec, x, form).unpack().unwrap()
}
