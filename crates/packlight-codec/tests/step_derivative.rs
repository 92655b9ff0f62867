//! What the step derivatives promise.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use asked::{LINEAR, gradient};
use candle_core::{DType, Device, Tensor};
use common::{dot, pack, sample, values};
use packlight_codec::AxisLayout::Tokens;
use packlight_codec::Op;
use packlight_kernels::{gelu, silu};

#[test]
fn the_derivative_steps_over_four_levels_from_zero_to_one() {
    let x = Tensor::new(&[-100.0, -4.0, -1.0, -0.01, 0.01, 1.0, 4.0, 100.0], &Device::Cpu).unwrap();
    let ones = x.ones_like().unwrap();
    let by_gelu = values(&gradient(&*pack("regelu2", &x, Tokens), Op::Gelu, &ones).unwrap());
    let (low, high) = (-0.04922261145617846, 1.0487405950855513);
    assert_eq!(by_gelu[..4], [0.0, 0.0, low, low]);
    assert!(by_gelu[4..6].iter().all(|level| (level - high).abs() < 1e-15));
    assert_eq!(by_gelu[6..], [1.0, 1.0]);
    let by_silu = values(&gradient(&*pack("resilu2", &x, Tokens), Op::Silu, &ones).unwrap());
    assert_eq!((by_silu[0], by_silu[7]), (0.0, 1.0));
    let mut levels = by_silu.clone();
    levels.dedup();
    assert_eq!(levels.len(), 4);
}

#[test]
fn it_takes_two_bits_an_element() {
    for (codec, n) in [("regelu2", 4096), ("resilu2", 4097)] {
        let x = sample(&[n], 1).to_dtype(DType::F32).unwrap();
        let bytes = pack(codec, &x, Tokens).bytes();
        assert_eq!((bytes.payload, bytes.metadata), (n.div_ceil(4), 0));
    }
}

#[test]
fn gradients_point_the_exact_way_nearly() {
    let (x, grad) = (sample(&[4000], 1), sample(&[4000], 2));
    let cosine = |a: &Tensor, b: &Tensor| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let near = gradient(&*pack("regelu2", &x, Tokens), Op::Gelu, &grad).unwrap();
    assert!(cosine(&near, &gelu::backward((&x).into(), &grad).unwrap()) > 0.9);
    let near = gradient(&*pack("resilu2", &x, Tokens), Op::Silu, &grad).unwrap();
    assert!(cosine(&near, &silu::backward((&x).into(), &grad).unwrap()) > 0.8);
}

#[test]
fn other_layers_are_refused_with_a_word() {
    let x = sample(&[8], 1);
    let packed = pack("regelu2", &x, Tokens);
    for error in [gradient(&*packed, Op::Silu, &x), packed.unpack(), gradient(&*packed, LINEAR, &x)]
    {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`regelu2`") && error.contains("GELU"), "{error}");
    }
    let error = gradient(&*pack("resilu2", &x, Tokens), Op::Gelu, &x).unwrap_err().to_string();
    assert!(error.contains("for GELU write `regelu2`"), "{error}");
}
