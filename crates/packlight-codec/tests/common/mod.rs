//! What the tests of codecs have in common.

#![allow(dead_code, unreachable_pub)] // each test uses a part

use candle_core::{DType, Device, Tensor};
use packlight_codec::{AxisLayout, CodecState, Op, Packed, Result, Site, parse};
use packlight_kernels::rng::{Key, Purpose};

/// Normal numbers.
pub fn sample(shape: &[usize], seed: u64) -> Tensor {
    let mut stream = Key::new(seed, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The sum of products.
pub fn dot(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    values(a).iter().zip(values(b)).map(|(a, b)| a * b).sum()
}

/// The sum of squares.
pub fn energy(tensor: &Tensor) -> f64 {
    dot(tensor, tensor)
}

/// The largest difference; NaN where there is one.
pub fn gap(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let gaps = values(&(a - b).unwrap()).into_iter().map(f64::abs);
    gaps.max_by(f64::total_cmp).unwrap_or(0.0)
}

/// |a - b| / |b|, or |a| where b is 0.
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (gap, size) = (energy(&(a - b).unwrap()).sqrt(), energy(b).sqrt());
    if size == 0.0 { gap } else { gap / size }
}

/// The learning indicator of the restored tensor as a whole.
pub fn indicator(restored: &Tensor, exact: &Tensor) -> f64 {
    1.0 - distance(restored, exact).powi(2)
}

/// Packs at one step of a layer of which something may be remembered.
pub fn pack_at(
    name: &str,
    x: &Tensor,
    axes: AxisLayout,
    step: u64,
    memory: &mut CodecState,
) -> Result<Box<dyn Packed>> {
    let key = Key::new(1, Purpose::Codec).step(step);
    parse(name)?.pack(x, &mut Site::new(Op::Custom("test"), axes, key, memory))
}

/// Packs at step 0 of a layer of which nothing is remembered.
pub fn pack(name: &str, x: &Tensor, axes: AxisLayout) -> Box<dyn Packed> {
    pack_at(name, x, axes, 0, &mut CodecState::default()).unwrap()
}

/// What is restored of a tensor that [`pack`] packed.
pub fn restore(name: &str, x: &Tensor, axes: AxisLayout) -> Tensor {
    pack(name, x, axes).unpack().unwrap()
}
