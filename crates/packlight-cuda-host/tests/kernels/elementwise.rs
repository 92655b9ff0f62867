use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::{accumulate, argmax, channel_affine, cuda, mean_axis, plane_scale, square};

use crate::{cases, close, results, sample, wide};

#[test]
fn sums_of_tensors_have_the_bytes_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 1003]) {
        let (a, b) = (sample(n, "a", dtype), sample(n, "b", dtype));
        let expected = accumulate::add(&wide(&a), &wide(&b)).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::accumulate::add(gpu, &a, &b)?])
        })
        .unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            let target = a.copy().unwrap();
            cuda::accumulate::add_in_place(gpu, &target, &b)?;
            Ok(vec![target])
        })
        .unwrap();
    }
}

#[test]
fn sums_of_squares_are_those_of_the_cpu() {
    for (dtype, n) in [(DType::F32, 0), (DType::F32, 33_000), (DType::BF16, 1003)] {
        let x = (sample(n, "x", DType::F32) * 1e25).unwrap().to_dtype(dtype).unwrap();
        let expected = Tensor::new(square::sum(&wide(&x)).unwrap(), &Device::Cpu).unwrap();
        prove(&[expected], Tolerance::Relative(1e-12), |gpu| {
            Ok(vec![Tensor::new(cuda::square::sum(gpu, &x)?, &Device::Cpu)?])
        })
        .unwrap();
    }
}

#[test]
fn factors_and_offsets_of_channels_have_the_bytes_of_the_cpu() {
    for (shape, dtype) in
        [(&[7, 5][..], DType::F32), (&[2, 3, 9, 11], DType::BF16), (&[0, 3, 2], DType::F32)]
    {
        let x = sample(shape, "x", dtype);
        let (w, b) = (sample(shape[1], "w", DType::F32), sample(shape[1], "b", DType::F32));
        let expected = channel_affine::channel_affine(&wide(&x), &w, &b).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::channel_affine::channel_affine(gpu, &x, &w, &b)?])
        })
        .unwrap();
    }
}

#[test]
fn scaled_planes_and_their_products_are_those_of_the_cpu() {
    for (shape, leading, dtype) in
        [(&[3, 4, 5, 7][..], 2, DType::F32), (&[9, 70], 1, DType::BF16), (&[5], 1, DType::F32)]
    {
        let (x, g) = (sample(shape, "x", dtype), sample(shape, "g", dtype));
        let factors = sample(&shape[..leading], "f", dtype);
        let expected = plane_scale::scale(&wide(&x), &wide(&factors)).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::plane_scale::scale(gpu, &x, &factors)?])
        })
        .unwrap();
        let expected = plane_scale::products(&wide(&x), &wide(&g), factors.dims()).unwrap();
        prove(&results(&[&expected], dtype), close(dtype), |gpu| {
            Ok(vec![cuda::plane_scale::products(gpu, &x, &g, factors.dims())?])
        })
        .unwrap();
    }
}

#[test]
fn means_over_an_axis_and_their_gradients_have_the_bytes_of_the_cpu() {
    for (axis, dtype) in [(0, DType::F32), (1, DType::BF16), (2, DType::F32)] {
        let x = sample((5, 9, 31), "x", dtype);
        let y = mean_axis::forward(&wide(&x), axis).unwrap();
        prove(&results(&[&y], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::mean_axis::forward(gpu, &x, axis)?])
        })
        .unwrap();
        let g = sample(y.dims(), "g", dtype);
        let expected = mean_axis::backward(&wide(&g), x.dims(), axis).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::mean_axis::backward(gpu, &g, x.dims(), axis)?])
        })
        .unwrap();
    }
}

#[test]
fn indices_of_the_largest_are_those_of_the_cpu() {
    let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
    let odd = [[1.0, 2.0, 2.0], [nan, 0.0, -0.0], [nan, nan, nan], [nan, low, low]];
    let odd = Tensor::new(&odd, &Device::Cpu).unwrap();
    let rows = [sample((3, 7, 70), "x", DType::F32), sample((9, 1), "x", DType::BF16), odd];
    for rows in rows {
        let expected = argmax::argmax(&wide(&rows)).unwrap();
        prove(std::slice::from_ref(&expected), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::argmax::argmax(gpu, &rows, expected.dims())?])
        })
        .unwrap();
    }
}
