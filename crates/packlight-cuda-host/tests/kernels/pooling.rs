use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::max_pool2d::Windows;
use packlight_kernels::{avg_pool2d, block_pool, cuda, max_pool2d};

use crate::{close, results, sample, wide};

#[test]
fn maxima_their_places_and_gradients_have_the_bytes_of_the_cpu() {
    let overlapping = Windows { kernel: (3, 2), stride: (2, 1), padding: (1, 1) };
    let apart = Windows { kernel: (2, 2), stride: (3, 2), padding: (0, 0) };
    let large = Windows { kernel: (17, 16), stride: (1, 2), padding: (8, 0) };
    for (shape, dtype, windows) in [
        ((2, 3, 11, 9), DType::F32, overlapping),
        ((2, 3, 8, 9), DType::BF16, overlapping),
        ((1, 2, 8, 5), DType::F32, apart),
        ((1, 1, 5, 18), DType::F32, large),
        ((0, 2, 5, 5), DType::F32, apart),
    ] {
        let x = sample(shape, "x", dtype);
        let (y, places) = max_pool2d::forward(&wide(&x), &windows).unwrap();
        prove(&results(&[&y, &places], dtype), Tolerance::Bytes, |gpu| {
            let (y, places) = cuda::max_pool2d::forward(gpu, &x, &windows)?;
            Ok(vec![y, places])
        })
        .unwrap();
        let g = sample(y.dims(), "g", dtype);
        let expected = max_pool2d::backward(&wide(&g), &places, x.dims(), &windows).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::max_pool2d::backward(gpu, &g, &places, x.dims(), &windows)?])
        })
        .unwrap();
    }
}

#[test]
fn the_first_of_equal_maxima_wins_and_nan_over_all() {
    let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
    let x = [1.0, 2.0, 2.0, 1.0, nan, 3.0, nan, 9.0, low, low, low, low, -0.0, 0.0, 0.0, -0.0];
    let x = Tensor::new(&x, &Device::Cpu).unwrap().reshape((4, 1, 2, 2)).unwrap();
    let windows = Windows { kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
    let (y, places) = max_pool2d::forward(&x, &windows).unwrap();
    prove(&[y, places], Tolerance::Bytes, |gpu| {
        let (y, places) = cuda::max_pool2d::forward(gpu, &x, &windows)?;
        Ok(vec![y, places])
    })
    .unwrap();
}

#[test]
fn means_of_windows_and_their_gradients_have_the_bytes_of_the_cpu() {
    for (shape, dtype, kernel, stride) in [
        ((2, 3, 9, 7), DType::F32, (3, 2), (2, 1)),
        ((1, 3, 9, 7), DType::BF16, (2, 2), (3, 2)),
        ((0, 3, 9, 7), DType::F32, (2, 2), (2, 2)),
    ] {
        let x = sample(shape, "x", dtype);
        let y = avg_pool2d::forward(&wide(&x), kernel, stride).unwrap();
        let (_, _, rows, columns) = y.dims4().unwrap();
        prove(&results(&[&y], dtype), Tolerance::Bytes, |gpu| {
            let size = (rows, columns);
            Ok(vec![cuda::avg_pool2d::forward(gpu, &x, kernel, stride, size)?])
        })
        .unwrap();
        let g = sample(y.dims(), "g", dtype);
        let expected = avg_pool2d::backward(&wide(&g), x.dims(), kernel, stride).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::avg_pool2d::backward(gpu, &g, x.dims(), kernel, stride)?])
        })
        .unwrap();
    }
}

#[test]
fn means_of_planes_and_their_gradients_are_those_of_the_cpu() {
    for (shape, dtype) in [((3, 5, 7, 7), DType::F32), ((1, 9, 1, 3), DType::BF16)] {
        let x = sample(shape, "x", dtype);
        let y = avg_pool2d::global(&wide(&x)).unwrap();
        prove(&results(&[&y], dtype), close(dtype), |gpu| {
            Ok(vec![cuda::avg_pool2d::global(gpu, &x)?])
        })
        .unwrap();
        let (g, size) = (sample(y.dims(), "g", dtype), (shape.2, shape.3));
        let expected = avg_pool2d::global_backward(&wide(&g), size).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::avg_pool2d::global_backward(gpu, &g, size)?])
        })
        .unwrap();
    }
}

#[test]
fn means_of_blocks_and_their_copies_have_the_bytes_of_the_cpu() {
    for (shape, dtype, block) in [
        ((2, 3, 9, 7), DType::F32, 2),
        ((1, 2, 11, 13), DType::F32, 4),
        ((1, 2, 8, 10), DType::BF16, 3),
        ((2, 1, 3, 5), DType::F32, usize::MAX),
        ((0, 3, 4, 4), DType::F32, 2),
    ] {
        let x = sample(shape, "x", dtype);
        let pooled = block_pool::pool(&wide(&x), block).unwrap();
        let narrow = pooled.to_dtype(dtype).unwrap();
        prove(std::slice::from_ref(&narrow), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::block_pool::pool(gpu, &x, block)?])
        })
        .unwrap();
        let size = (shape.2, shape.3);
        let expected = block_pool::unpool(&wide(&narrow), block, size).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::block_pool::unpool(gpu, &narrow, block, size)?])
        })
        .unwrap();
    }
}

#[test]
fn means_of_features_and_their_copies_have_the_bytes_of_the_cpu() {
    for (width, dtype, block) in
        [(9, DType::F32, 2), (3, DType::F32, 4), (10, DType::BF16, 3), (4, DType::F32, 9)]
    {
        let x = sample((2, 5, width), "x", dtype);
        let pooled = block_pool::pool_features(&wide(&x), block).unwrap();
        let narrow = pooled.to_dtype(dtype).unwrap();
        prove(std::slice::from_ref(&narrow), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::block_pool::pool_features(gpu, &x, block, pooled.dims())?])
        })
        .unwrap();
        let expected = block_pool::unpool_features(&wide(&narrow), block, width).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::block_pool::unpool_features(gpu, &narrow, block, x.dims())?])
        })
        .unwrap();
    }
}
