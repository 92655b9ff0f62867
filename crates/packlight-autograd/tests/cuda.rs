//! What the `cuda` feature promises on a machine with a CUDA device: activations pass between candle's
//! operations there, convolutions are those of the CPU, memory is counted, and a type that kernels do not compute
//! in is refused.
//!
//! ```sh
//! cargo test --release -p packlight-autograd --features cuda --test cuda
//! ```
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used)]

use std::io::Write;

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::op::Conv2dGeometry;
use packlight_autograd::{Activation, Counter, Pass};
use packlight_kernels::conv2d;

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

#[test]
fn convolutions_are_those_of_the_cpu() {
    let Some(device) = device() else { return };
    for (groups, stride) in [(1, (1, 1)), (1, (2, 2)), (2, (2, 1))] {
        let geometry = &Conv2dGeometry { stride, padding: (1, 1), groups, ..Default::default() };
        let random = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let (x, w) = (random(&[3, 4, 9, 8]), random(&[6, 4 / groups, 3, 3]));
        let bias = random(&[6]);
        let all = |device: &Device| {
            let [x, w, bias] = [&x, &w, &bias].map(|t| t.to_device(device).unwrap());
            let y = conv2d::forward(&x, &w, Some(&bias), geometry).unwrap();
            let by_x = conv2d::input_grad(&y, &w, x.dims(), geometry).unwrap();
            let by_w = conv2d::weight_grad(&x, &y, w.dims(), geometry).unwrap();
            [y, by_x, by_w].map(|t| t.to_device(&Device::Cpu).unwrap())
        };
        for (here, there) in all(&Device::Cpu).iter().zip(&all(&device)) {
            let scalar =
                |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(scalar((here - there).unwrap()) < 1e-5 * scalar(here.clone()), "{geometry:?}");
        }
    }
}

#[test]
fn the_pool_of_the_device_counts() {
    let Some(device) = device() else { return };
    let counter = Counter::of(&device);
    let before = counter.live();
    counter.reset_peak();
    const BYTES: usize = 64 << 20;
    let tensor = Tensor::zeros(BYTES / 4, DType::F32, &device).unwrap();
    assert!((BYTES..BYTES + (1 << 20)).contains(&(counter.live() - before)));
    drop(tensor);
    device.synchronize().unwrap();
    assert!(counter.live() - before < 1 << 20 && counter.peak() - before >= BYTES);
    // More than any device has.
    let error = packlight_kernels::relu::forward(&large(&device)).unwrap_err().to_string();
    assert!(error.contains("the device has no memory for another"), "{error}");
}

/// A view of few elements that has more than any device can hold.
fn large(device: &Device) -> Tensor {
    Tensor::zeros((1, 2), DType::F32, device).unwrap().broadcast_as((1 << 43, 2)).unwrap()
}
