use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::{cuda, layer_norm};

use crate::{close, results, sample, wide};

/// Tokens with a mean far from 0, so that deviations matter.
fn tokens(shape: (usize, usize), dtype: DType) -> Tensor {
    (sample(shape, "x", DType::F32) + 3.0).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn outputs_statistics_and_gradients_are_those_of_the_cpu() {
    for (shape, dtype) in [
        ((0, 5), DType::F32),
        ((1, 1), DType::F32),
        ((3, 7), DType::BF16),
        ((150, 33), DType::F32),
        ((70, 100), DType::BF16),
    ] {
        let (x, g) = (tokens(shape, dtype), sample(shape, "g", dtype));
        let of_features = |name| sample(shape.1, name, DType::F32);
        let (weight, bias) = (of_features("w"), of_features("b"));
        let cpu = layer_norm::forward(&wide(&x), &weight, &bias, 1e-5).unwrap();
        let mut expected = results(&[&cpu.output], dtype);
        expected.extend([cpu.mean.clone(), cpu.inverse.clone()]);
        prove(&expected, close(dtype), |gpu| {
            let found = cuda::layer_norm::forward(gpu, &x, &weight, &bias, 1e-5)?;
            Ok(vec![found.output, found.mean, found.inverse])
        })
        .unwrap();

        let (x32, g32) = (wide(&x), wide(&g));
        let (by_input, by_weight, by_bias) =
            layer_norm::backward((&x32).into(), &g32, &cpu.mean, &cpu.inverse, &weight).unwrap();
        let mut expected = results(&[&by_input], dtype);
        expected.extend([by_weight, by_bias]);
        prove(&expected, close(dtype), |gpu| {
            let (input, weight, bias) =
                cuda::layer_norm::backward(gpu, &x, &g, &cpu.mean, &cpu.inverse, &weight)?;
            Ok(vec![input, weight, bias])
        })
        .unwrap();
    }
}

#[test]
fn squares_beyond_f32_do_not_matter() {
    let x = Tensor::new(&[[1e30f32, -1e30, 3e30, 0.0]], &Device::Cpu).unwrap();
    let one = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
    let cpu = layer_norm::forward(&x, &one, &one, 1e-5).unwrap();
    prove(&[cpu.output, cpu.mean, cpu.inverse], Tolerance::Relative(1e-6), |gpu| {
        let found = cuda::layer_norm::forward(gpu, &x, &one, &one, 1e-5)?;
        Ok(vec![found.output, found.mean, found.inverse])
    })
    .unwrap();
}
