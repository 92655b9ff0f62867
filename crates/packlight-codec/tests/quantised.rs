//! What the papers say of codes of a few bits.

#![allow(clippy::unwrap_used)]

mod asked;
mod quantising;

use asked::{LINEAR, bytes};
use candle_core::{DType, Device, Tensor};
use packlight_codec::{AxisLayout, CodecState, Site, parse};
use packlight_kernels::block_pool;
use packlight_kernels::rng::{Key, Purpose};
use quantising::{learning_indicator, pack, pack_with, sample, values};

#[test]
fn the_variance_is_that_of_a_coin_between_two_codes() {
    // 0 and 3 span the four codes of 2 bits, so that each step is 1; likewise of other bits.
    for bits in 1..=8 {
        let (name, top) = (&format!("q{bits}"), f32::from((1u16 << bits) - 1));
        let code = (top / 2.0).floor();
        let x = [[0.0, top, code + 0.25, code + 0.5, code + 0.9]];
        let x = Tensor::new(&x, &Device::Cpu).unwrap();
        let draws: Vec<Vec<f64>> =
            (0..4000).map(|step| values(&pack(name, &x, step).unpack().unwrap())).collect();
        for (at, fraction) in [(2, 0.25), (3, 0.5), (4, 0.9)] {
            let mean = draws.iter().map(|d| d[at]).sum::<f64>() / 4000.0;
            let found = draws.iter().map(|d| (d[at] - mean).powi(2)).sum::<f64>() / 4000.0;
            let expected = fraction * (1.0 - fraction);
            assert!((found - expected).abs() < 0.1 * expected, "{name}: {found} {expected}");
        }
        let exact = |d: &Vec<f64>| d[0] == 0.0 && d[1] == f64::from(top);
        assert!(draws.iter().all(exact), "{name}: extremes are exact");
    }
}

#[test]
fn bytes_are_the_published_ones() {
    // N b / 8 for the codes and 4 bytes for each group of 256; of f32 that is 1/15.06 at 2 bits.
    let shape = [4, 64, 32, 32];
    let n: usize = shape.iter().product();
    // Of the other widths 32 / (b + 0.125), since they are packed without gaps.
    for (bits, ratio) in [
        (1, 28.4),
        (2, 15.06),
        (3, 10.24),
        (4, 7.76),
        (5, 6.244),
        (6, 5.224),
        (7, 4.491),
        (8, 3.94),
    ] {
        let codec = parse(&format!("q{bits}")).unwrap();
        let bytes =
            bytes(&*codec, LINEAR, AxisLayout::Images, &shape, DType::F32).unwrap().unwrap();
        assert_eq!((bytes.payload, bytes.metadata), (n * bits / 8, n / 256 * 4));
        assert!((4.0 * n as f64 / bytes.total() as f64 - ratio).abs() < 0.05);
    }
    let of = |name: &str| {
        bytes(&*parse(name).unwrap(), LINEAR, AxisLayout::Images, &shape, DType::F32)
            .unwrap()
            .unwrap()
    };
    assert_eq!((of("bf16").total(), of("fp8").total()), (2 * n, n + 4));
    // A scale in f32 for each line of 32 pixels.
    assert_eq!((of("fp8:e5m2:row").payload, of("fp8:e5m2:row").metadata), (n, n / 32 * 4));
    // Those of q2, and for each of 2,621 outliers of 262,144 values the value and its index.
    let (q2, outlier) = (of("q2"), of("outlier:0.01"));
    assert_eq!(outlier.payload, q2.payload + 2621 * 4);
    assert_eq!(outlier.metadata, q2.metadata + 2621 * 4);
    // Half a bit a value, and two bf16 for 512 values.
    assert_eq!((of("alam").payload, of("alam").metadata), (n / 16, n / 128));
}

#[test]
fn nearest_rounding_has_half_the_mean_square_of_random_rounding() {
    // Over uniform positions between two codes: 1/12 against 1/6 of a step's square.
    let x = sample(&[4, 8, 32, 32]);
    let exact = values(&x);
    let off = |name: &str| {
        1.0 - learning_indicator(&exact, &values(&pack(name, &x, 0).unpack().unwrap()))
    };
    let ratio = off("q4") / off("q4:nearest");
    assert!((ratio - 2.0).abs() < 0.05, "{ratio}");
    assert_eq!(
        off("q4:nearest"),
        1.0 - learning_indicator(&exact, &values(&pack("q4:nearest", &x, 7).unpack().unwrap()))
    );
}

#[test]
fn floats_of_16_and_8_bits_are_as_near_as_their_mantissas() {
    let x = sample(&[4, 1000]);
    for (name, precision, smallest) in [
        ("bf16", 2f64.powi(-8), 0.0),
        ("fp8", 2f64.powi(-4), 1e-4),
        ("fp8:e5m2", 2f64.powi(-3), 1e-8),
    ] {
        let restored = values(&pack(name, &x, 0).unpack().unwrap());
        for (x, r) in values(&x).iter().zip(restored) {
            assert!((x - r).abs() <= precision * x.abs() * 1.001 + smallest, "{name}: {x} {r}");
        }
    }
}

#[test]
fn rows_of_fp8_are_the_last_axis_and_do_not_see_each_other() {
    // Each line has a magnitude of its own, over more decades than either format spans.
    let lines = Tensor::new(&[1e-12f32, 1.0, 1e9, 0.0], &Device::Cpu).unwrap();
    let x = sample(&[2, 3, 4, 50]).broadcast_mul(&lines.reshape((4, 1)).unwrap()).unwrap();
    let exact = values(&x);
    for (name, precision) in [("fp8:e5m2:row", 0.125), ("fp8:row", 0.0625)] {
        let restored = values(&pack(name, &x, 0).unpack().unwrap());
        for (line, restored) in exact.chunks(50).zip(restored.chunks(50)) {
            let largest = line.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
            let near = |(x, r): (&f64, &f64)| {
                (x - r).abs() <= precision * x.abs() * 1.001 + largest * 1e-5
            };
            assert!(line.iter().zip(restored).all(near), "{name}: {line:?} {restored:?}");
        }
    }
    // One scale for all leaves nothing of the smallest line.
    let restored = values(&pack("fp8:e5m2", &x, 0).unpack().unwrap());
    assert!(exact[0] != 0.0 && restored[..50].iter().all(|x| *x == 0.0));
    assert_eq!(parse("fp8:row:e5m2").unwrap().spec(), "fp8:e5m2:row");
}

#[test]
fn outliers_do_not_stretch_the_steps_of_the_others() {
    // One value in 128 is a hundred times as large as the others.
    let x = sample(&[8, 4096]);
    let scales: Vec<f32> = (0..4096).map(|at| if at % 128 == 5 { 100.0 } else { 1.0 }).collect();
    let x = x.broadcast_mul(&Tensor::new(scales, &Device::Cpu).unwrap()).unwrap();
    let exact = values(&x);
    let error_of_others = |name: &str| {
        let restored = values(&pack(name, &x, 0).unpack().unwrap());
        let gaps = exact.iter().zip(&restored).enumerate().filter(|(at, _)| at % 128 != 5);
        gaps.map(|(_, (x, r))| (x - r).powi(2)).sum::<f64>()
    };
    assert!(error_of_others("q2") > 20.0 * error_of_others("outlier:0.01"));
    let restored = values(&pack("outlier:0.01", &x, 0).unpack().unwrap());
    let kept = exact.iter().zip(&restored).filter(|(x, r)| x == r).count();
    assert!(kept >= 328, "{kept}");
    let all = values(&pack("outlier:1", &x, 0).unpack().unwrap());
    assert_eq!(all, exact);
}

#[test]
fn alam_is_pooling_of_four_neighbours_within_its_code() {
    let x = sample(&[3, 7, 9, 11]);
    let restored = values(&pack("alam", &x, 0).unpack().unwrap());
    let flat = x.reshape((3, 7 * 9 * 11)).unwrap();
    let pooled =
        block_pool::unpool_features(&block_pool::pool_features(&flat, 4).unwrap(), 4, 693).unwrap();
    let pooled = values(&pooled);
    // Four codes over at most all the means' range, and a bit more for bf16.
    let range = pooled.iter().cloned().fold(f64::MIN, f64::max)
        - pooled.iter().cloned().fold(f64::MAX, f64::min);
    assert!(pooled.iter().zip(&restored).all(|(p, r)| (p - r).abs() < 1.05 * range / 3.0));
    for row in restored.chunks(693) {
        assert!(row.chunks(4).all(|four| four.iter().all(|x| x == &four[0])));
    }
}

#[test]
fn with_a_budget_alam_averages_what_matters_least() {
    let x = sample(&[4, 1024]);
    let codec = parse("alam:2").unwrap();
    let mut layers = vec![CodecState::default(); 3];
    let pack = |memory: &mut CodecState| pack_with("alam:2", &x, 0, memory).bytes();
    for (memory, sensitivity) in layers.iter_mut().zip([0.0, 1.0, 1e6]) {
        assert_eq!(pack(memory).payload, x.elem_count() / 4, "2 bits until it is measured");
        codec.adaptive().unwrap().measured(&[sensitivity], memory).unwrap();
    }
    codec.adaptive().unwrap().allocate(&mut layers.iter_mut().collect::<Vec<_>>()).unwrap();
    let payloads: Vec<usize> = layers.iter_mut().map(|memory| pack(memory).payload).collect();
    let bits = payloads.iter().map(|bytes| *bytes as f64 * 8.0 / x.elem_count() as f64);
    assert_eq!(bits.collect::<Vec<_>>(), [0.5, 0.5, 4.0]);
    assert_eq!(pack(&mut layers[2]).metadata, x.elem_count() / 128 * 4);
    // In a trial one bit stands for the means.
    let mut site =
        Site::new(LINEAR, AxisLayout::Tokens, Key::new(1, Purpose::Codec), &mut layers[2]);
    site.level = Some(1);
    assert_eq!(codec.pack(&x, &mut site).unwrap().bytes().payload, x.elem_count() / 16);
    // At first, and after a tenth of all steps.
    let asked = (0..100).filter(|&step| codec.adaptive().unwrap().measure(step, 100).is_some());
    assert_eq!(asked.collect::<Vec<_>>(), [0, 10]);
    assert!(parse("alam").unwrap().adaptive().is_none());
}

#[test]
fn what_is_not_finite_never_becomes_a_number_of_ordinary_size() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = Tensor::new(&[[1.0, bad, 2.0], [1.0, 2.0, 3.0]], &Device::Cpu).unwrap();
        for name in
            ["q1", "q2", "q3", "q7", "q8", "q4:nearest", "bf16", "fp8", "fp8:e5m2:row", "alam"]
        {
            let restored = values(&pack(name, &x, 0).unpack().unwrap());
            assert!(restored[1].is_nan() || restored[1] == f64::from(bad), "{name} {bad}");
            assert!(restored[3..].iter().all(|x| x.is_finite()), "{name} {bad}");
        }
    }
}

#[test]
fn nothing_to_pack_is_packed() {
    for name in ["q2", "bf16", "fp8", "fp8:e5m2:row", "alam", "outlier:0.1"] {
        for shape in [&[0, 4][..], &[2, 0], &[0]] {
            let x = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            assert_eq!(pack(name, &x, 0).unpack().unwrap().dims(), shape, "{name}");
        }
    }
}

#[test]
fn wrong_parameters_are_refused() {
    for (spec, said) in [
        (
            "q0",
            "a whole number from 1 to 8 expected for <b>, the bits per value, as in `q2`; `0` found",
        ),
        ("q9", "`9` found"),
        ("q2.5", "`2.5` found"),
        ("blpa:1", "from 2 to 8 expected for <b>, the bits per value, as in `blpa:4`; `1` found"),
        ("blpa", "`blpa:<b>` expected, as in `blpa:4`"),
        ("q2:up", "`up` found"),
        ("gact:0.5", "a number from 1 to 32 expected for <bits>"),
        ("gact:4:0", "the steps from one measurement to the next"),
        ("gact:4:5:6", "`gact:<bits>[:<steps>]` expected"),
        ("q2:", "`q<b>[:nearest]` expected"),
        ("fp8:e4m3", "`fp8[:e5m2][:row]` expected, as in `fp8`; `e4m3` found"),
    ] {
        let error = parse(spec).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
