//! What codecs of images and of gradients compute: patches, block means, subsampling, thresholds, random
//! rounding.

use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Host, Tolerance, here, prove};
use packlight_kernels::division::{self, Maps};
use packlight_kernels::patches::Patches;
use packlight_kernels::quantise::Rounding;
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{cuda, dither, patches, step_derivative, subsample};

use crate::{cases, results, sample, wide};

#[test]
fn patches_have_the_bytes_of_the_cpu() {
    let rows = [
        Patches { count: 2, size: 3, before: 1 },
        Patches { count: 1, size: 9, before: 0 },
        Patches { count: 3, size: 2, before: -2 },
        // Some of them lie outside the image.
        Patches { count: 5, size: 4, before: 6 },
    ];
    for (dtype, batch) in cases(&[2, 0]) {
        for rows in rows {
            let columns = Patches { count: 4, size: 3, before: 2 };
            let (height, width) = (7, 9);
            let x = sample((batch, 3, height, width), "x", dtype);
            let v = sample((batch, 3, rows.count, columns.count), "v", dtype);
            let expected = [
                patches::sums(&wide(&x), rows, columns).unwrap(),
                patches::means(&wide(&x), rows, columns).unwrap(),
                patches::spread(&wide(&v), rows, columns, (height, width), false).unwrap(),
                patches::spread(&wide(&v), rows, columns, (height, width), true).unwrap(),
                patches::interpolate(&wide(&v), rows, columns, (height, width)).unwrap(),
            ];
            let expected: Vec<&Tensor> = expected.iter().collect();
            prove(&results(&expected, dtype), Tolerance::Bytes, |gpu| {
                let size = (height, width);
                Ok(vec![
                    cuda::patches::reduce(gpu, &x, rows, columns, false)?,
                    cuda::patches::reduce(gpu, &x, rows, columns, true)?,
                    cuda::patches::spread(gpu, &v, rows, columns, size, false)?,
                    cuda::patches::spread(gpu, &v, rows, columns, size, true)?,
                    cuda::patches::interpolate(gpu, &v, rows, columns, size)?,
                ])
            })
            .unwrap_or_else(|error| panic!("{rows:?}: {error}"));
        }
    }
}

#[test]
fn divided_maps_have_the_bytes_of_the_cpu() {
    let key = Key::new(3, Purpose::Codec).layer("a").step(1);
    for (size, block, dtype) in [
        ((14, 14), (8, 8), DType::F32),
        ((7, 9), (2, 4), DType::BF16),
        ((1, 1), (8, 8), DType::F32),
        ((40, 33), (8, 8), DType::F32),
    ] {
        for count in [6, 0] {
            for (rounding, bits) in [(Rounding::Nearest, 2), (Rounding::Stochastic(key), 3)] {
                let maps = Maps { size, block, bits };
                let x = sample((count, size.0, size.1), "x", dtype);
                let packed = division::pack(&wide(&x), &maps, rounding).unwrap();
                let back = division::unpack(&packed, &maps, x.dims(), DType::F32).unwrap();
                let parts = [&packed.means, &packed.codes, &packed.ranges, &back];
                prove(&results(&parts, dtype), Tolerance::Bytes, |gpu| {
                    let packed = cuda::division::pack(gpu, &x, &maps, rounding)?;
                    let back = cuda::division::unpack(gpu, &packed, &maps, x.dims(), dtype)?;
                    Ok(vec![packed.means, packed.codes, packed.ranges, back])
                })
                .unwrap_or_else(|error| panic!("{maps:?}: {error}"));
            }
        }
    }
}

#[test]
fn subsampled_images_have_the_bytes_of_the_cpu() {
    for (shape, stride, channels, dtype) in [
        ([2, 3, 8, 8], 2, 7, DType::F32),
        ([1, 1, 5, 7], 3, 1, DType::BF16),
        ([0, 2, 4, 4], 1, 4, DType::F32),
    ] {
        let x = sample(&shape, "x", dtype);
        let y = subsample::forward(&wide(&x), stride, channels).unwrap();
        let g = sample(y.shape(), "g", dtype);
        let back = subsample::backward(&wide(&g), &shape, stride).unwrap();
        prove(&results(&[&y, &back], dtype), Tolerance::Bytes, |gpu| {
            let before = (channels - shape[1]) / 2;
            Ok(vec![
                cuda::subsample::forward(gpu, &x, stride, before)?,
                cuda::subsample::backward(gpu, &g, &shape, stride, before)?,
            ])
        })
        .unwrap();
    }
}

#[test]
fn thresholds_and_levels_have_the_bytes_of_the_cpu() {
    let (thresholds, levels) = ([-0.7, 0.1, 0.9], [0.0, 0.3, 0.8, 1.1]);
    for (dtype, n) in cases(&[0, 1, 1003]) {
        let (x, g) = (sample(n, "x", dtype), sample(n, "g", dtype));
        let codes = step_derivative::codes(&wide(&x), thresholds).unwrap();
        let back = step_derivative::backward(&codes, levels, &wide(&g)).unwrap();
        prove(&results(&[&codes, &back], dtype), Tolerance::Bytes, |gpu| {
            let codes = cuda::step_derivative::codes(gpu, &x, thresholds)?;
            let back = cuda::step_derivative::backward(gpu, &codes, levels, &g)?;
            Ok(vec![codes, back])
        })
        .unwrap();
    }
    let bad = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
    if here() {
        let found = cuda::step_derivative::codes(&Host::default(), &bad, thresholds).unwrap_err();
        let expected = step_derivative::codes(&bad, thresholds).unwrap_err();
        assert_eq!(found.to_string(), expected.to_string());
    }
}

#[test]
fn random_rounding_has_the_bytes_of_the_cpu() {
    let key = Key::new(2, Purpose::Codec).layer("a").step(9);
    for (dtype, n) in cases(&[0, 1, 1026, 20_003]) {
        let x = sample(n, "x", dtype);
        let expected = dither::dither(&wide(&x), 0.37, key).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::dither::dither(gpu, &x, 0.37, key)?])
        })
        .unwrap();
    }
    for (dtype, n) in cases(&[0, 1, 70_001]) {
        let x = (sample(n, "x", dtype) + 3.0).unwrap();
        let number = |deviation: f64| Tensor::new(deviation, &Device::Cpu).unwrap();
        let expected = number(dither::deviation(&wide(&x)).unwrap());
        prove(&[expected], Tolerance::Relative(1e-12), |gpu| {
            Ok(vec![number(cuda::dither::deviation(gpu, &x)?)])
        })
        .unwrap();
    }
}
