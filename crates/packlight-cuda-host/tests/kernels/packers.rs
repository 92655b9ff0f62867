//! Signs, fp8, codes of few bits and codes of normalised values.

use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Host, Tolerance, here, prove};
use packlight_kernels::fixed_range::FixedRange;
use packlight_kernels::fp8::Format;
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{cuda, finite, fp8, sign};

use crate::{cases, results, sample, wide};

#[test]
fn signs_have_the_bytes_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 33, 1003]) {
        let x = sample(n, "x", dtype);
        let signs = sign::pack(&wide(&x)).unwrap();
        prove(std::slice::from_ref(&signs), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::sign::pack(gpu, &x)?])
        })
        .unwrap();
        let back = sign::unpack(&signs, 0.3, x.shape(), DType::F32).unwrap();
        let sum = sign::add(&wide(&x), 0.3).unwrap();
        prove(&results(&[&back, &sum], dtype), Tolerance::Bytes, |gpu| {
            let back = cuda::sign::unpack(gpu, &signs, 0.3, x.shape(), dtype)?;
            Ok(vec![back, cuda::sign::add(gpu, &x, 0.3)?])
        })
        .unwrap();
    }
}

#[test]
fn what_is_not_finite_is_found_wherever_it_stands() {
    if !here() {
        return;
    }
    for count in [1, 257, 70_000] {
        for at in [None, Some(0), Some(count / 2), Some(count - 1)] {
            let mut values = vec![f32::MAX; count];
            if let Some(at) = at {
                values[at] = if at == 0 { f32::NAN } else { f32::NEG_INFINITY };
            }
            let x = Tensor::new(values, &Device::Cpu).unwrap();
            let found = cuda::finite::is_finite(&Host::default(), &x).unwrap();
            assert_eq!(found, finite::is_finite(&x).unwrap());
            assert_eq!(found, at.is_none());
        }
    }
    let error =
        cuda::sign::pack(&Host::default(), &Tensor::new(&[f32::NAN], &Device::Cpu).unwrap());
    assert_eq!(
        error.unwrap_err().to_string(),
        sign::pack(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap_err().to_string()
    );
}

#[test]
fn fp8_has_the_bytes_of_the_cpu() {
    for format in [Format::E4M3, Format::E5M2] {
        for (dtype, n) in cases(&[0, 1, 1003, 70_001]) {
            // All values are one row; 1003 are also 17 rows.
            let x = sample(n, "x", dtype);
            let narrow = (n == 1003).then_some(59);
            for row in [n].into_iter().chain(narrow) {
                let (codes, scales) = fp8::pack(&wide(&x), format, row).unwrap();
                let back = fp8::unpack(&codes, &scales, format, DType::F32).unwrap();
                let expected = [results(&[&codes, &back], dtype), vec![scales]].concat();
                prove(&expected, Tolerance::Bytes, |gpu| {
                    let (codes, scales) = cuda::fp8::pack(gpu, &x, format, row)?;
                    let back = cuda::fp8::unpack(gpu, &codes, &scales, format, dtype)?;
                    Ok(vec![codes, back, scales])
                })
                .unwrap();
            }
        }
        let all = Tensor::arange(0u8, 255, &Device::Cpu).unwrap();
        let odd = [0.5f32, -3.7, f32::INFINITY, f32::NAN, f32::NEG_INFINITY, -0.0, 1e-44, 1e-30];
        let odd = Tensor::new(&odd, &Device::Cpu).unwrap();
        let expected = [fp8::pack(&odd, format, 8).unwrap().0];
        prove(&expected, Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::fp8::pack(gpu, &odd, format, 8)?.0])
        })
        .unwrap();
        let scale = Tensor::new(&[0.37f32], &Device::Cpu).unwrap();
        let expected = [fp8::unpack(&all, &scale, format, DType::F32).unwrap()];
        prove(&expected, Tolerance::Relative(0.0), |gpu| {
            Ok(vec![cuda::fp8::unpack(gpu, &all, &scale, format, DType::F32)?])
        })
        .unwrap();
    }
}

/// Codes, ranges and restored values through the gates.
fn quantised(x: &Tensor, grouping: &Grouping<'_>, rounding: Rounding) {
    let dtype = x.dtype();
    let (codes, ranges) = quantise::pack(&wide(x), grouping, rounding).unwrap();
    let coded = Coded {
        codes: &codes,
        ranges: &ranges,
        grouping: *grouping,
        shape: x.dims(),
        dtype: DType::F32,
    };
    let back = quantise::unpack(&coded).unwrap();
    let expected = [codes.clone(), ranges.clone(), back.to_dtype(dtype).unwrap()];
    prove(&expected, Tolerance::Bytes, |gpu| {
        let (codes, ranges) = cuda::quantise::pack(gpu, x, grouping, rounding)?;
        let coded = Coded { codes: &codes, ranges: &ranges, dtype, ..coded };
        let back = cuda::quantise::unpack(gpu, &coded)?;
        Ok(vec![codes, ranges, back])
    })
    .unwrap_or_else(|error| panic!("{grouping:?} {dtype:?}: {error}"));
}

#[test]
fn codes_of_every_width_have_the_bytes_of_the_cpu() {
    let key = Rounding::Stochastic(Key::new(1, Purpose::Codec).layer("a").step(2));
    for bits in 1..=8 {
        let dtype = if bits % 2 == 0 { DType::F32 } else { DType::BF16 };
        let x = sample(3 * 600, "x", dtype);
        quantised(&x, &Grouping { row: 600, group: 256, bits: Bits::All(bits) }, key);
    }
    quantised(
        &sample(1000, "x", DType::F32),
        &Grouping { row: 1000, group: 256, bits: Bits::All(2) },
        Rounding::Nearest,
    );
}

#[test]
fn groups_and_rows_of_any_size_draw_the_noise_of_the_cpu() {
    let key = Rounding::Stochastic(Key::new(9, Purpose::Codec));
    // Rows, their size, and that of a group; the last ones fill more than one task.
    for (rows, row, group) in [
        (0, 5, 2),
        (1, 1, 1),
        (7, 7, 3),
        (5, 300, 300),
        (4, 700, 77),
        (2, 3000, 2900),
        (3, 40_000, 256),
        (2, 70_001, 100_000),
    ] {
        let x = sample((rows, row), "x", DType::F32);
        quantised(&x, &Grouping { row, group, bits: Bits::All(2) }, key);
    }
    let bits = [1, 8, 3, 5];
    let x = sample((4, 515), "x", DType::F32);
    quantised(&x, &Grouping { row: 515, group: 100, bits: Bits::PerRow(&bits) }, key);
}

#[test]
fn odd_values_give_the_ranges_of_the_cpu() {
    let rows = [
        [0.0, -0.0, 0.0, -0.0],
        [-0.0, 0.0, -0.0, 0.0],
        [1e-40, -1e-40, 2e-40, 0.0],
        [3e38, -3e38, 0.0, 1.0],
        [f32::NAN, 1.0, 2.0, 3.0],
        [f32::INFINITY, 1.0, 2.0, 3.0],
        [5.0, 5.0, 5.0, 5.0],
    ];
    let x = Tensor::new(rows.as_flattened(), &Device::Cpu).unwrap();
    let grouping = Grouping { row: 4, group: 4, bits: Bits::All(3) };
    let (codes, ranges) = quantise::pack(&x, &grouping, Rounding::Nearest).unwrap();
    let extremes = quantise::extremes(&x, 4, 4).unwrap();
    // NaN's bits are each machine's own.
    prove(&[codes, ranges.clone(), extremes], Tolerance::Relative(0.0), |gpu| {
        let (codes, ranges) = cuda::quantise::pack(gpu, &x, &grouping, Rounding::Nearest)?;
        Ok(vec![codes, ranges, cuda::quantise::extremes(gpu, &x, 4, 4)?])
    })
    .unwrap();
    let finite = x.narrow(0, 0, 16).unwrap();
    quantised(&finite, &grouping, Rounding::Nearest);
}

#[test]
fn codes_within_given_ranges_have_the_bytes_of_the_cpu() {
    for dtype in [DType::F32, DType::BF16] {
        let x = sample((3, 500), "x", dtype);
        let grouping = Grouping { row: 500, group: 300, bits: Bits::All(4) };
        let rounding = Rounding::Stochastic(Key::new(4, Purpose::Codec));
        let ranges = Tensor::new(&[[-1f32, 0.2], [-0.5, 0.01]], &Device::Cpu).unwrap();
        let codes = quantise::pack_within(&wide(&x), &ranges, &grouping, rounding).unwrap();
        let shape = x.dims();
        let coded = Coded { codes: &codes, ranges: &ranges, grouping, shape, dtype: DType::F32 };
        let back = quantise::unpack(&coded).unwrap();
        let extremes = quantise::extremes(&wide(&x), 500, 300).unwrap();
        let expected = [codes.clone(), back.to_dtype(dtype).unwrap(), extremes];
        prove(&expected, Tolerance::Bytes, |gpu| {
            let codes = cuda::quantise::pack_within(gpu, &x, &ranges, &grouping, rounding)?;
            let coded = Coded { codes: &codes, dtype, ..coded };
            let back = cuda::quantise::unpack(gpu, &coded)?;
            Ok(vec![codes, back, cuda::quantise::extremes(gpu, &x, 500, 300)?])
        })
        .unwrap();
    }
}

#[test]
fn codes_of_normalised_values_have_the_bytes_of_the_cpu() {
    let weight = [1.0f32, -0.3, 5.0, 1e-30, 0.0, 0.0, 2.0];
    let bias = [0.0f32, 0.8, -2.0, 0.0, 0.0, -0.5, 7.0];
    let of = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    for (bits, dtype, shape) in [
        (1, DType::F32, vec![2, 7, 5, 9]),
        (3, DType::BF16, vec![3, 7, 41]),
        (4, DType::F32, vec![5, 7]),
        (8, DType::F32, vec![1, 7, 100]),
        (2, DType::F32, vec![0, 7, 3]),
    ] {
        let x = sample(shape, "x", dtype);
        let range = FixedRange::new(&of(&weight), &of(&bias), bits).unwrap();
        let codes = range.pack(&wide(&x)).unwrap();
        let normalised = range.normalised(&codes, x.dims()).unwrap();
        let output = range.output(&codes, x.dims()).unwrap();
        prove(&[codes, normalised, output], Tolerance::Bytes, |gpu| {
            let codes = cuda::fixed_range::pack(gpu, &range, &x)?;
            let normalised = cuda::fixed_range::restore(gpu, &range, &codes, x.dims(), false)?;
            let output = cuda::fixed_range::restore(gpu, &range, &codes, x.dims(), true)?;
            Ok(vec![codes, normalised, output])
        })
        .unwrap();
    }
}
