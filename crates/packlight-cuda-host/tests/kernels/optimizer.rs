use candle_core::{DType, Tensor};
use packlight_cuda_host::{Host, Tolerance, prove};
use packlight_kernels::cuda;
use packlight_kernels::optimizer::{AdamW, Sgd};

use crate::sample;

fn copies<const N: usize>(tensors: [&Tensor; N]) -> [Tensor; N] {
    tensors.map(|tensor| tensor.copy().unwrap())
}

#[test]
fn steps_of_sgd_have_the_bytes_of_the_cpu() {
    for (n, momentum, nesterov) in [(0, 0.9, false), (1003, 0.9, true), (300, 0.0, false)] {
        let rule = Sgd { learning_rate: 0.1, momentum, weight_decay: 5e-4, nesterov };
        let [p, v, g] = ["p", "v", "g"].map(|name| sample(n, name, DType::F32));
        let expected = copies([&p, &v]);
        rule.step(&expected[0], &expected[1], &g).unwrap();
        prove(&expected, Tolerance::Bytes, |gpu| {
            let own = copies([&p, &v]);
            cuda::optimizer::sgd(gpu, &rule, &own[0], &own[1], &g)?;
            Ok(own.into())
        })
        .unwrap();
    }
}

#[test]
fn steps_of_adamw_have_the_bytes_of_the_cpu() {
    for (n, step) in [(0, 1), (1003, 1), (300, 70)] {
        let (betas, epsilon) = ((0.9, 0.999), 1e-8);
        let rule = AdamW { learning_rate: 1e-3, betas, epsilon, weight_decay: 0.05, step };
        let [p, m, g] = ["p", "m", "g"].map(|name| sample(n, name, DType::F32));
        let v = sample(n, "v", DType::F32).sqr().unwrap();
        let expected = copies([&p, &m, &v]);
        rule.step(&expected[0], (&expected[1], &expected[2]), &g).unwrap();
        prove(&expected, Tolerance::Bytes, |gpu| {
            let own = copies([&p, &m, &v]);
            cuda::optimizer::adamw(gpu, &rule, &own[0], (&own[1], &own[2]), &g)?;
            Ok(own.into())
        })
        .unwrap();
    }
}

#[test]
fn parameters_of_another_type_are_refused() {
    let rule = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
    let p = sample(3, "p", DType::BF16);
    assert!(cuda::optimizer::sgd(&Host::default(), &rule, &p, &p, &p).is_err());
}
