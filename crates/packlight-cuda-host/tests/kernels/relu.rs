use candle_core::{Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::{cuda, relu};

use crate::{cases, results, sample, wide};

#[test]
fn outputs_masks_and_gradients_have_the_bytes_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 7, 33, 1003, 5000]) {
        let x = sample(n, "x", dtype);
        let grad = sample(n, "g", dtype);
        let (y, mask) = relu::forward(&wide(&x)).unwrap();
        prove(&results(&[&y, &mask], dtype), Tolerance::Bytes, |gpu| {
            let (y, mask) = cuda::relu::forward(gpu, &x)?;
            Ok(vec![y, mask])
        })
        .unwrap();
        prove(&results(&[&y], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::relu::forward_only(gpu, &x)?])
        })
        .unwrap();
        let expected = relu::backward(&wide(&grad), &mask).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::relu::backward(gpu, &grad, &mask)?])
        })
        .unwrap();
    }
}

#[test]
fn signed_zeros_infinities_and_nan_come_out_as_on_the_cpu() {
    let x = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, -1e-45];
    let x = Tensor::new(&x, &Device::Cpu).unwrap();
    let (y, mask) = relu::forward(&x).unwrap();
    prove(&[y, mask], Tolerance::Bytes, |gpu| {
        let (y, mask) = cuda::relu::forward(gpu, &x)?;
        Ok(vec![y, mask])
    })
    .unwrap();
}

#[test]
fn a_tensor_of_another_layout_is_copied_and_one_of_another_type_refused() {
    let x = sample((3, 5), "x", candle_core::DType::F32).t().unwrap();
    let (y, mask) = relu::forward(&x).unwrap();
    prove(&[y, mask], Tolerance::Bytes, |gpu| {
        let (y, mask) = cuda::relu::forward(gpu, &x)?;
        Ok(vec![y, mask])
    })
    .unwrap();
    let host = packlight_cuda_host::Host::default();
    let wrong = x.to_dtype(candle_core::DType::U8).unwrap();
    assert!(cuda::relu::forward(&host, &wrong).unwrap_err().to_string().contains("relu_forward"));
    assert!(cuda::relu::backward(&host, &x, &x).is_err());
}
