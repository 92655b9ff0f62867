//! What DIVISION keeps: block means, and codes of what is left.

#![allow(clippy::unwrap_used)]

mod asked;
mod quantising;

use asked::{LINEAR, bytes};
use candle_core::{DType, Device, Tensor};
use packlight_codec::{AxisLayout, parse};
use packlight_kernels::division::{self, Divided, Maps};
use packlight_kernels::quantise::Rounding;
use quantising::{learning_indicator, pack, sample, values};

/// Bits a value of images with maps of `side` x `side`.
fn bits(name: &str, side: usize) -> f64 {
    let shape = [2, 3, side, side];
    let bytes = bytes(&*parse(name).unwrap(), LINEAR, AxisLayout::Images, &shape, DType::F32)
        .unwrap()
        .unwrap();
    8.0 * bytes.total() as f64 / shape.iter().product::<usize>() as f64
}

#[test]
fn bits_are_the_published_ones_where_blocks_are_whole() {
    // 2 + 16 blocks / pixels + 32 / pixels.
    assert!((bits("division", 56) - 2.260).abs() < 1e-3);
    assert!((bits("division", 32) - (2.0 + 16.0 * 16.0 / 1024.0 + 32.0 / 1024.0)).abs() < 1e-9);
    // The authors' 7 x 7 maps take 2.980, and 6 bits more for whole bytes.
    assert!((bits("division", 7) - (2.980 + 6.0 / 49.0)).abs() < 1e-3);
}

#[test]
fn eight_bits_restore_nearly_everything_and_two_beat_two_bits_alone_on_smooth_maps() {
    let noise = values(&sample(&[2, 4, 30, 30]));
    // Broad waves with a little noise.
    let wave = |i: usize| 3.0 * ((i / 30 % 30) as f64 / 9.0).sin() + ((i % 30) as f64 / 7.0).cos();
    let smooth: Vec<f64> = noise.iter().enumerate().map(|(i, x)| wave(i) + 0.1 * x).collect();
    let x = Tensor::from_vec(smooth.clone(), (2, 4, 30, 30), &Device::Cpu).unwrap();
    let indicator =
        |name: &str| learning_indicator(&smooth, &values(&pack(name, &x, 0).unpack().unwrap()));
    assert!(indicator("division:8:8") > 0.999, "{}", indicator("division:8:8"));
    assert!(indicator("division") > indicator("q2"));
    assert!(indicator("division") > indicator("pool8"));
}

#[test]
fn without_what_is_left_it_is_pooling() {
    let x = sample(&[2, 3, 20, 20]);
    let maps = Maps { size: (20, 20), block: (8, 8), bits: 2 };
    let Divided { means, codes, ranges } = division::pack(&x, &maps, Rounding::Nearest).unwrap();
    let (codes, ranges) = (codes.zeros_like().unwrap(), ranges.zeros_like().unwrap());
    let low = Divided { means, codes, ranges };
    let low = values(&division::unpack(&low, &maps, x.dims(), DType::F32).unwrap());
    let pooled = values(&pack("pool8", &x, 0).unpack().unwrap());
    // Means are kept in bf16.
    assert_eq!(low.len(), pooled.len());
    assert!(low.iter().zip(&pooled).all(|(a, b)| (a - b).abs() <= b.abs() / 256.0 + 1e-6));
}

#[test]
fn maps_that_would_not_get_smaller_are_kept_whole() {
    for shape in [&[2, 3, 1, 1][..], &[4, 1]] {
        let x = sample(shape);
        let packed = pack("division", &x, 0);
        assert_eq!(values(&packed.unpack().unwrap()), values(&x));
        assert_eq!(packed.bytes().total(), 4 * x.elem_count());
    }
    // Tokens: one mean for 64 features, 2 bits each, a range for each token.
    assert_eq!(pack("division", &sample(&[5, 128]), 0).bytes().payload, 5 * (128 / 4 + 2 * 2));
}

#[test]
fn wrong_parameters_are_refused() {
    for (spec, said) in [
        ("division:1:2", "from 2 to 1024 expected for <k>"),
        ("division:8:9", "from 1 to 8 expected for <b>"),
        ("division:8", "expected"),
        ("division:8:2:1", "expected"),
    ] {
        assert!(parse(spec).unwrap_err().to_string().contains(said), "{spec}");
    }
    assert_eq!(parse("division:8:2").unwrap().spec(), "division");
}
