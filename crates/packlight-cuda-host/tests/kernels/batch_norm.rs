use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::{batch_norm, cuda};

use crate::{close, results, sample, wide};

#[test]
fn statistics_outputs_and_gradients_are_those_of_the_cpu() {
    for (shape, dtype) in [
        (&[1, 1][..], DType::F32),
        (&[37, 5], DType::F32),
        (&[3, 2, 7, 7], DType::BF16),
        // More than one piece of a channel.
        (&[3, 3, 57, 61], DType::F32),
    ] {
        let x = (sample(shape, "x", DType::F32) + 3.0).unwrap().to_dtype(dtype).unwrap();
        let g = sample(shape, "g", dtype);
        let (x32, g32) = (wide(&x), wide(&g));
        let of_channels = |name| sample(shape[1], name, DType::F32);
        let (weight, bias) = (of_channels("w"), of_channels("b"));
        let (mean, variance) = batch_norm::statistics(&x32).unwrap();
        prove(&[mean.clone(), variance.clone()], Tolerance::OfLargest(1e-6), |gpu| {
            let (mean, variance) = cuda::batch_norm::statistics(gpu, &x)?;
            Ok(vec![mean, variance])
        })
        .unwrap();

        let inverse = (variance + 1e-5).unwrap().sqrt().unwrap().recip().unwrap();
        let inverse = inverse.to_dtype(DType::F32).unwrap();
        let y = batch_norm::normalise(&x32, &mean, &inverse, &weight, &bias).unwrap();
        prove(&results(&[&y], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::batch_norm::normalise(gpu, &x, &mean, &inverse, &weight, &bias)?])
        })
        .unwrap();

        let (input, by_weight, by_bias) =
            batch_norm::backward(&x32, &g32, &mean, &inverse, &weight).unwrap();
        let mut expected = results(&[&input], dtype);
        expected.extend([by_weight, by_bias]);
        prove(&expected, close(dtype), |gpu| {
            let (input, weight, bias) =
                cuda::batch_norm::backward(gpu, &x, &g, &mean, &inverse, &weight)?;
            Ok(vec![input, weight, bias])
        })
        .unwrap();
        prove(&expected, close(dtype), |gpu| {
            let own = g.copy().unwrap();
            let (input, weight, bias) =
                cuda::batch_norm::backward_in_place(gpu, &x, &own, &mean, &inverse, &weight)?;
            Ok(vec![input, weight, bias])
        })
        .unwrap();
    }
}

#[test]
fn the_variance_of_large_values_is_beyond_f32() {
    let x = Tensor::new(&[[1e30f32], [-1e30], [3e30], [0.0]], &Device::Cpu).unwrap();
    let (mean, variance) = batch_norm::statistics(&x).unwrap();
    prove(&[mean, variance], Tolerance::Relative(1e-6), |gpu| {
        let (mean, variance) = cuda::batch_norm::statistics(gpu, &x)?;
        Ok(vec![mean, variance])
    })
    .unwrap();
}
