use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::cross_entropy::{self, Targets};
use packlight_kernels::cuda;

use crate::{close, results, sample, wide};

#[test]
fn losses_probabilities_and_gradients_are_those_of_the_cpu() {
    for (classes, dtype, smoothing, ignored) in [
        (1, DType::F32, 0.0, None),
        (10, DType::F32, 0.0, None),
        (70, DType::F32, 0.1, Some(3)),
        (10, DType::BF16, 0.1, Some(3)),
    ] {
        let rows = 19;
        let targets = Targets { smoothing, ignored };
        let logits = (sample((rows, classes), "x", DType::F32) * 4.0).unwrap();
        let logits = logits.to_dtype(dtype).unwrap();
        let labels: Vec<u32> = (0..rows).map(|row| (row * 7 % classes.min(5)) as u32).collect();
        let counting = labels.iter().filter(|label| Some(**label) != ignored).count();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        let (loss, probabilities) =
            cross_entropy::forward(&wide(&logits), &labels, &targets).unwrap();
        let narrow = probabilities.to_dtype(dtype).unwrap();
        prove(&[loss, narrow.clone()], close(dtype), |gpu| {
            let (loss, probabilities) =
                cuda::cross_entropy::forward(gpu, &logits, &labels, &targets, counting)?;
            Ok(vec![loss, probabilities])
        })
        .unwrap();
        let grad = Tensor::new(0.7f32, &Device::Cpu).unwrap();
        let expected = cross_entropy::backward(&wide(&narrow), &labels, &targets, &grad).unwrap();
        prove(&results(&[&expected], dtype), close(dtype), |gpu| {
            let of = (&narrow, &labels, &targets);
            Ok(vec![cuda::cross_entropy::backward(gpu, of.0, of.1, of.2, &grad, counting)?])
        })
        .unwrap();
    }
}

#[test]
fn a_small_loss_and_its_gradient_keep_their_digits() {
    let logits = Tensor::new(&[[9f32, 0.0, 1.0], [90.0, -1e30, 0.0]], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[0u32, 0], &Device::Cpu).unwrap();
    let targets = Targets::default();
    let (loss, probabilities) = cross_entropy::forward(&logits, &labels, &targets).unwrap();
    prove(&[loss, probabilities.clone()], Tolerance::Relative(1e-6), |gpu| {
        let (loss, probabilities) =
            cuda::cross_entropy::forward(gpu, &logits, &labels, &targets, 2)?;
        Ok(vec![loss, probabilities])
    })
    .unwrap();
    let grad = Tensor::new(1f32, &Device::Cpu).unwrap();
    let expected = cross_entropy::backward(&probabilities, &labels, &targets, &grad).unwrap();
    prove(&[expected], Tolerance::Relative(1e-6), |gpu| {
        let twin = cuda::cross_entropy::backward;
        Ok(vec![twin(gpu, &probabilities, &labels, &targets, &grad, 2)?])
    })
    .unwrap();
}
