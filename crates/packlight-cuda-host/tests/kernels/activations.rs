//! GELU in both forms, SiLU, sigmoid, the hyperbolic tangent and ReLU6.

use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::cuda::{self, Gpu};
use packlight_kernels::{Result, gelu, gelu_tanh, relu6, sigmoid, silu, tanh};

use crate::{cases, results, sample, wide};

type Forward = (fn(&Tensor) -> Result<Tensor>, fn(&dyn Gpu, &Tensor) -> Result<Tensor>);
type Backward =
    (fn(&Tensor, &Tensor) -> Result<Tensor>, fn(&dyn Gpu, &Tensor, &Tensor) -> Result<Tensor>);

const KERNELS: [(Forward, Backward); 4] = [
    (
        (gelu::forward, cuda::gelu::forward),
        (|x, g| gelu::backward(x.into(), g), cuda::gelu::backward),
    ),
    (
        (gelu_tanh::forward, cuda::gelu_tanh::forward),
        (|x, g| gelu_tanh::backward(x.into(), g), cuda::gelu_tanh::backward),
    ),
    (
        (silu::forward, cuda::silu::forward),
        (|x, g| silu::backward(x.into(), g), cuda::silu::backward),
    ),
    ((sigmoid::forward, cuda::sigmoid::forward), (sigmoid::backward, cuda::sigmoid::backward)),
];

#[test]
fn values_and_slopes_have_the_bytes_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 1003]) {
        let x = (sample(n, "x", dtype) * 8.0).unwrap();
        let grad = sample(n, "g", dtype);
        for ((forward, on_gpu), (backward, back_on_gpu)) in KERNELS {
            let y = forward(&wide(&x)).unwrap();
            prove(&results(&[&y], dtype), Tolerance::Bytes, |gpu| Ok(vec![on_gpu(gpu, &x)?]))
                .unwrap();
            let slope = backward(&wide(&x), &wide(&grad)).unwrap();
            prove(&results(&[&slope], dtype), Tolerance::Bytes, |gpu| {
                Ok(vec![back_on_gpu(gpu, &x, &grad)?])
            })
            .unwrap();
        }
    }
}

#[test]
fn far_out_they_are_those_of_the_cpu() {
    let x = [0.0, -0.0, -1e-40, -14.0, -40.0, -88.0, -104.0, 90.0, -1e30, 1e30, 3e38, -3e38];
    let x = Tensor::new(x.map(|x: f64| x as f32).as_slice(), &Device::Cpu).unwrap();
    let ones = x.ones_like().unwrap();
    for ((forward, on_gpu), (backward, back_on_gpu)) in KERNELS {
        let expected = [forward(&x).unwrap(), backward(&x, &ones).unwrap()];
        prove(&expected, Tolerance::Bytes, |gpu| {
            Ok(vec![on_gpu(gpu, &x)?, back_on_gpu(gpu, &x, &ones)?])
        })
        .unwrap();
    }
    // NaN's bits are each machine's own.
    let odd = Tensor::new(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &Device::Cpu).unwrap();
    for ((forward, on_gpu), _) in KERNELS {
        prove(&[forward(&odd).unwrap()], Tolerance::Relative(0.0), |gpu| {
            Ok(vec![on_gpu(gpu, &odd)?])
        })
        .unwrap();
    }
}

/// The device's own function, which may differ from the CPU's in the last digit.
#[test]
fn hyperbolic_tangents_are_those_of_the_cpu() {
    let far = [0.0, -0.0, 1e-40, -3e-8, 20.0, -90.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let far = Tensor::new(&far, &Device::Cpu).unwrap();
    let near = cases(&[0, 1, 1003]).map(|(dtype, n)| sample(n, "x", dtype));
    for x in near.chain([far]) {
        let dtype = x.dtype();
        let (y, grad) = (tanh::forward(&wide(&x)).unwrap(), sample(x.elem_count(), "g", dtype));
        let tolerance = if dtype == DType::F32 { 3e-7 } else { 8e-3 };
        prove(&results(&[&y], dtype), Tolerance::Relative(tolerance), |gpu| {
            Ok(vec![cuda::tanh::forward(gpu, &x)?])
        })
        .unwrap();
        let slope = tanh::backward(&wide(&x), &wide(&grad)).unwrap();
        prove(&results(&[&slope], dtype), Tolerance::Relative(0.0), |gpu| {
            Ok(vec![cuda::tanh::backward(gpu, &x, &grad)?])
        })
        .unwrap();
    }
}

#[test]
fn relu6_has_the_bytes_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 1003]) {
        let x = (sample(n, "x", dtype) * 5.0).unwrap();
        let (y, mask) = relu6::forward(&wide(&x)).unwrap();
        prove(&results(&[&y, &mask, &y], dtype), Tolerance::Bytes, |gpu| {
            let (y, mask) = cuda::relu6::forward(gpu, &x)?;
            Ok(vec![y, mask, cuda::relu6::forward_only(gpu, &x)?])
        })
        .unwrap();
    }
    let x = [-0.0, 6.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45];
    let x = Tensor::new(&x, &Device::Cpu).unwrap();
    assert_eq!(x.dtype(), DType::F32);
    let (y, mask) = relu6::forward(&x).unwrap();
    prove(&[y, mask], Tolerance::Bytes, |gpu| {
        let (y, mask) = cuda::relu6::forward(gpu, &x)?;
        Ok(vec![y, mask])
    })
    .unwrap();
}
