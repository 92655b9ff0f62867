//! How near every codec of the registry restores what it packed: by its own definition, worked out
//! in plain f64 sums, at all scales from 1e-20 to 1e20 and for constants, zeros, subnormal numbers
//! and one huge outlier.

#![allow(clippy::unwrap_used)]

mod bounds;
mod common;

use bounds::{Case, bound_of};
use candle_core::{DType, Device, Tensor};
use common::{sample, values};
use packlight_codec::registry::CODECS;
use packlight_codec::{AxisLayout, CodecState, Op, Site, parse};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_kernels::rng::{Key, Purpose};
use proptest::prelude::*;

fn examples() -> Vec<&'static str> {
    CODECS.iter().flat_map(|entry| entry.examples.iter().copied()).collect()
}

/// What the values are like.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Normal,
    /// As behind a ReLU.
    Rectified,
    Constant,
    Zero,
    /// A million times as large as the others.
    Outlier,
    /// So small that f32 has few digits left for them, whatever the scale.
    Subnormal,
}

fn kinds() -> impl Strategy<Value = Kind> {
    use Kind::{Constant, Normal, Outlier, Rectified, Subnormal, Zero};
    prop::sample::select(vec![Normal, Normal, Rectified, Constant, Zero, Outlier, Subnormal])
}

fn tensor(shape: &[usize], kind: Kind, scale: f64, dtype: DType, seed: u64) -> Tensor {
    let mut numbers = values(&sample(shape, seed));
    let (first, count) = (numbers[0], numbers.len());
    for (at, x) in numbers.iter_mut().enumerate() {
        *x = match kind {
            Kind::Normal => *x * scale,
            Kind::Rectified => x.max(0.0) * scale,
            Kind::Constant => first * scale,
            Kind::Zero => 0.0,
            Kind::Outlier if at == seed as usize % count => 1e6 * scale,
            Kind::Outlier => *x * scale,
            Kind::Subnormal => *x * 1e-40,
        };
    }
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// Packs, unpacks and checks; codecs that refuse such tensors beforehand are left out.
fn check(name: &str, x: &Tensor, axes: AxisLayout, key: u64) {
    let codec = parse(name).unwrap();
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    let weight_shape = match axes {
        AxisLayout::Images => &[2, x.dims()[1], 3, 3][..],
        _ => &[],
    };
    let op = match axes {
        AxisLayout::Images => Op::Conv2d { weight_shape, geometry },
        _ => Op::Linear { weight_shape },
    };
    let key = Key::new(key, Purpose::Codec);
    let state = &mut CodecState::default();
    let site = &mut Site::new(op, axes, key, state);
    let Ok(predicted) = codec.bytes(site, x.dims(), x.dtype()) else { return };
    let packed = codec.pack(x, site);
    let packed = packed.unwrap_or_else(|error| panic!("{name} {:?}: {error}", x.dims()));
    assert!(predicted.is_none_or(|bytes| bytes == packed.bytes()), "{name}: bytes");
    let Some(bound) = bound_of(name) else {
        assert!(packed.unpack().is_err(), "{name} restores nothing");
        return;
    };
    let restored = packed.unpack().unwrap();
    assert_eq!((restored.dims(), restored.dtype()), (x.dims(), x.dtype()), "{name}");
    let (exact, restored) = (values(x), values(&restored));
    assert!(restored.iter().all(|value| value.is_finite()), "{name}: {exact:?} {restored:?}");
    bound(&Case {
        name,
        axes,
        shape: x.dims(),
        dtype: x.dtype(),
        key,
        bytes: packed.bytes(),
        x: exact,
        r: restored,
    });
}

#[test]
fn every_example_has_a_bound_or_restores_nothing() {
    let without: Vec<_> = examples().into_iter().filter(|name| bound_of(name).is_none()).collect();
    assert_eq!(without, ["regelu2", "resilu2"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn images(
        name in prop::sample::select(examples()),
        n in 1usize..4, c in 1usize..5, h in 1usize..12, w in 1usize..12,
        kind in kinds(), exponent in -20i32..=20, single in any::<bool>(), seed in 0u64..1000,
    ) {
        let dtype = if single { DType::F32 } else { DType::F64 };
        let x = tensor(&[n, c, h, w], kind, 10f64.powi(exponent), dtype, seed);
        check(name, &x, AxisLayout::Images, seed);
    }

    #[test]
    fn tokens(
        name in prop::sample::select(examples()),
        leading in prop::collection::vec(1usize..7, 0..3), features in 1usize..80,
        kind in kinds(), exponent in -20i32..=20, single in any::<bool>(), seed in 0u64..1000,
    ) {
        let dtype = if single { DType::F32 } else { DType::F64 };
        let shape = [&leading[..], &[features]].concat();
        let x = tensor(&shape, kind, 10f64.powi(exponent), dtype, seed);
        check(name, &x, AxisLayout::Tokens, seed);
    }
}

/// Groups longer than 256, odd maps and more tokens than are kept, once for each codec.
#[test]
fn larger_tensors() {
    for name in examples() {
        for dtype in [DType::F32, DType::F64] {
            let images = tensor(&[5, 9, 13, 11], Kind::Normal, 3.0, dtype, 1);
            check(name, &images, AxisLayout::Images, 2);
            let tokens = tensor(&[30, 10, 64], Kind::Outlier, 1e-3, dtype, 3);
            check(name, &tokens, AxisLayout::Tokens, 4);
        }
    }
}
