//! What the tests of quantising codecs share.

#![allow(dead_code)] // each of them uses a part

use candle_core::{DType, Device, Tensor};
use packlight_codec::{AxisLayout, CodecState, Op, Packed, Site, parse};
use packlight_kernels::rng::{Key, Purpose};

/// Standard normal numbers.
pub(crate) fn sample(shape: &[usize]) -> Tensor {
    let mut stream = Key::new(3, Purpose::Sample).stream();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Packs images where the rank is 4, tokens otherwise.
pub(crate) fn pack_with(
    name: &str,
    x: &Tensor,
    step: u64,
    memory: &mut CodecState,
) -> Box<dyn Packed> {
    let key = Key::new(1, Purpose::Codec).step(step);
    let axes = if x.dims().len() == 4 { AxisLayout::Images } else { AxisLayout::Tokens };
    parse(name).unwrap().pack(x, &mut Site::new(Op::Custom("test"), axes, key, memory)).unwrap()
}

/// [`pack_with`] where nothing is remembered.
pub(crate) fn pack(name: &str, x: &Tensor, step: u64) -> Box<dyn Packed> {
    pack_with(name, x, step, &mut CodecState::default())
}

pub(crate) fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// 1 - |x - r|^2 / |x|^2.
pub(crate) fn learning_indicator(x: &[f64], r: &[f64]) -> f64 {
    assert_eq!(x.len(), r.len());
    let squares = |all: &mut dyn Iterator<Item = f64>| all.map(|x| x * x).sum::<f64>();
    1.0 - squares(&mut x.iter().zip(r).map(|(x, r)| x - r)) / squares(&mut x.iter().copied())
}
