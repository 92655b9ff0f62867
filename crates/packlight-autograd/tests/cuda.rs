//! What the `cuda` feature promises on a machine with a CUDA device: activations pass between candle's
//! operations there, and a type that kernels do not compute in is refused.
//!
//! ```sh
//! cargo test --release -p packlight-autograd --features cuda --test cuda
//! ```
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used)]

use std::io::Write;

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::{Activation, Pass};

/// The first CUDA device, or a word on standard error that there is none.
#[allow(clippy::explicit_write)] // what `eprintln` writes is captured
fn device() -> Option<Device> {
    let device = Device::new_cuda(0).ok();
    if device.is_none() {
        writeln!(std::io::stderr(), "skipped: there is no CUDA device").unwrap();
    }
    device
}

#[test]
fn activations_stand_between_candle_operations() {
    let Some(device) = device() else { return };
    let x = Var::new(&[[1f32, -2.0], [3.0, 4.0]], &device).unwrap();
    let before = (x.as_tensor() * 3.0).unwrap();
    let activation = Activation::from_tensor(&before, &Pass::training()).unwrap();
    let after = activation.into_tensor().unwrap().sqr().unwrap();
    let gradients = after.sum_all().unwrap().backward().unwrap();
    // d (3x)^2 / dx = 18x
    let gradient = gradients.get(&x).unwrap();
    assert!(gradient.device().is_cuda());
    assert_eq!(gradient.to_vec2::<f32>().unwrap(), [[18.0, -36.0], [54.0, 72.0]]);
}

#[test]
fn a_type_without_kernels_is_refused() {
    let Some(device) = device() else { return };
    let x = Tensor::zeros((2, 3), DType::F64, &device).unwrap();
    let error = packlight_kernels::relu::forward(&x).unwrap_err().to_string();
    assert!(error.contains("f32 or bf16, found F64"), "{error}");
}
