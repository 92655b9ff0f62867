use candle_core::DType;
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::softmax::Visible;
use packlight_kernels::{cuda, softmax};

use crate::{results, sample, wide};

#[test]
fn probabilities_and_gradients_are_those_of_the_cpu() {
    let seen = [
        Visible::default(),
        Visible { lengths: Some(vec![3, 0]), causal: false },
        Visible { lengths: Some(vec![2, 50]), causal: true },
    ];
    for dtype in [DType::F32, DType::BF16] {
        // Sums of another order, and in bf16 a rounding that they tip over.
        let tolerance = Tolerance::Relative(if dtype == DType::F32 { 2e-7 } else { 8e-3 });
        for shape in [vec![2, 3, 5, 5], vec![2, 1, 37, 70], vec![2, 4, 0]] {
            for visible in &seen {
                let x = (sample(shape.clone(), "x", dtype) * 4.0).unwrap();
                let expected = softmax::forward(&wide(&x), visible).unwrap();
                prove(&results(&[&expected], dtype), tolerance, |gpu| {
                    Ok(vec![cuda::softmax::forward(gpu, &x, visible)?])
                })
                .unwrap();
            }
            let (p, g) = (sample(shape.clone(), "p", dtype), sample(shape, "g", dtype));
            let expected = softmax::backward(&wide(&p), &wide(&g)).unwrap();
            let tolerance = Tolerance::OfLargest(if dtype == DType::F32 { 2e-7 } else { 8e-3 });
            prove(&results(&[&expected], dtype), tolerance, |gpu| {
                Ok(vec![cuda::softmax::backward(gpu, &p, &g)?])
            })
            .unwrap();
        }
    }
}
