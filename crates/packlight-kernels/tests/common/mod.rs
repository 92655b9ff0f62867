//! Helpers of the kernels' tests.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses some of it

use candle_core::{DType, Device, Tensor};
use packlight_kernels::rng::{Key, Purpose};

/// Normal random numbers in f64, determined by the name.
pub fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(5, Purpose::Sample).layer(name).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// All elements in f64.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Panics unless there are as many elements and each differs by at most `tolerance` of the largest
/// one expected.
#[track_caller]
pub fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_within(found, expected, tolerance * largest(expected));
}

/// Panics unless there are as many elements and each differs by at most `gap`.
#[track_caller]
pub fn assert_within(found: &[f64], expected: &[f64], gap: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= gap, "element {at}: {found:e} found, {expected:e} expected, within {gap:e}");
    }
}

/// The largest magnitude.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |top: f64, x| top.max(x.abs()))
}

/// The same for tensors of the same shape.
#[track_caller]
pub fn assert_tensors_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    assert_close(&values(found), &values(expected), tolerance);
}
