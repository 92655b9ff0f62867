//! What tests of operations share.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses some of it

use candle_core::{DType, Device, Tensor, Var};
use packlight_kernels::rng::{Key, Purpose};

/// Normal numbers in f64 that the name decides.
pub fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(11, Purpose::Sample).layer(name).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The same as a parameter.
pub fn var(shape: &[usize], name: &str) -> Var {
    Var::from_tensor(&sample(shape, name)).unwrap()
}

/// All elements in f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Panics unless the shapes are the same and each element differs by at most `tolerance` of the
/// largest one expected.
#[track_caller]
pub fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (values(found), values(expected));
    let top = expected.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let gap = (found - expected).abs();
        assert!(gap <= tolerance * top, "element {at}: {found:e} found, {expected:e} expected");
    }
}
