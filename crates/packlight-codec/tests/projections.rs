//! What codecs that project the inputs of linear layers promise.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use asked::{LINEAR, bytes, gradient};
use candle_core::{DType, Device, Tensor};
use common::{distance, energy, indicator, pack, pack_at, sample, values};
use packlight_codec::AxisLayout::{Images, Tokens};
use packlight_codec::{CodecState, parse};
use packlight_kernels::linear;

#[test]
fn velora_keeps_a_number_for_each_part() {
    let x = sample(&[6, 5, 64], 1);
    let packed = pack("velora:4", &x, Tokens);
    assert_eq!((packed.bytes().payload, packed.bytes().metadata), (6 * 5 * 4 * 8, 0));
    // A token of 4096 features in 32 parts takes 1/128 of its bytes.
    let bytes = bytes(&*parse("velora:32").unwrap(), LINEAR, Tokens, &[7, 4096], DType::F32)
        .unwrap()
        .unwrap();
    assert_eq!(bytes.total() * 128, 7 * 4096 * 4);
    // v is a unit vector, so the energy that is kept is that of the products.
    let restored = packed.unpack().unwrap();
    assert!((indicator(&restored, &x) - energy(&restored) / energy(&x)).abs() < 1e-12);
    assert!(
        (&restored * (&x - &restored).unwrap())
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar::<f64>()
            .unwrap()
            .abs()
            < 1e-10
    );
}

#[test]
fn velora_is_exact_along_the_first_batchs_direction_and_keeps_it() {
    let v = sample(&[1, 16], 2);
    let along = |seed| {
        let scales = (sample(&[20 * 4, 1], seed) + 0.5).unwrap();
        scales.matmul(&v).unwrap().reshape((20, 64)).unwrap()
    };
    let mut memory = CodecState::default();
    let (first, second) = (along(3), along(4));
    let packed = pack_at("velora:4", &first, Tokens, 0, &mut memory).unwrap();
    assert!(distance(&packed.unpack().unwrap(), &first) < 1e-13);
    // A batch in another direction is seen along the first one's, and changes nothing.
    let other = sample(&[20, 64], 5);
    let before = values(memory.get("direction").unwrap());
    pack_at("velora:4", &other, Tokens, 1, &mut memory).unwrap();
    assert_eq!(values(memory.get("direction").unwrap()), before);
    let packed = pack_at("velora:4", &second, Tokens, 2, &mut memory).unwrap();
    assert!(distance(&packed.unpack().unwrap(), &second) < 1e-13);
    // A first batch that has no mean decides nothing.
    let mut memory = CodecState::default();
    let zeros = first.zeros_like().unwrap();
    let packed = pack_at("velora:4", &zeros, Tokens, 0, &mut memory).unwrap();
    assert!(energy(&packed.unpack().unwrap()) == 0.0 && memory.tensors().next().is_none());
}

#[test]
fn compact_keeps_r_numbers_of_each_token() {
    let packed = pack("compact:4", &sample(&[8, 12], 6), Tokens);
    assert_eq!((packed.bytes().payload, packed.bytes().metadata), (8 * 4 * 8, 0));
}

#[test]
fn compact_refuses_more_numbers_than_features() {
    let x = sample(&[8, 12], 6);
    assert_eq!(pack("compact:12", &x, Tokens).bytes().payload, 8 * 12 * 8);
    for name in ["compact:13", "compact:99999999999", "compact:9223372036854775807"] {
        let refused = pack_at(name, &x, Tokens, 0, &mut CodecState::default()).err().unwrap();
        let said = bytes(&*parse(name).unwrap(), LINEAR, Tokens, &[8, 12], DType::F64).unwrap_err();
        assert_eq!(refused.to_string(), said.to_string());
        assert!(said.to_string().contains("at most 12 numbers per token"), "{said}");
    }
}

#[test]
fn basis_keeps_a_sum_for_each_bin_and_is_exact_with_one_for_each_token() {
    let (x, grad) = (sample(&[3, 4, 6], 7), sample(&[3, 4, 5], 8));
    let packed = pack("basis:5", &x, Tokens);
    assert_eq!((packed.bytes().payload, packed.bytes().metadata), (5 * 6 * 8, 0));
    let exact = linear::weight_grad(&x, &grad).unwrap();
    let far = distance(&gradient(&*packed, LINEAR, &grad).unwrap(), &exact);
    assert!(far > 0.1, "{far}");
    for name in ["basis:12", "basis:100"] {
        let packed = pack(name, &x, Tokens);
        assert_eq!(packed.bytes().payload, 12 * 6 * 8);
        assert!(distance(&packed.unpack().unwrap(), &x) < 1e-14);
        assert!(distance(&gradient(&*packed, LINEAR, &grad).unwrap(), &exact) < 1e-13);
    }
    // Bytes depend on the features alone.
    let bytes =
        |tokens| bytes(&*parse("basis:4").unwrap(), LINEAR, Tokens, &[tokens, 6], DType::F32);
    assert_eq!(bytes(10).unwrap(), bytes(1000).unwrap());
}

#[test]
fn basis_brings_both_sketches_to_the_norms_of_what_they_are_of() {
    // One bin of two equal tokens: their sum or nothing, and the same of the gradient.
    let x = Tensor::new(&[[3f64, 4.0], [3.0, 4.0]], &Device::Cpu).unwrap();
    let grad = Tensor::new(&[[2f64], [2.0]], &Device::Cpu).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for step in 0..40 {
        let packed = pack_at("basis:1", &x, Tokens, step, &mut CodecState::default()).unwrap();
        let by_weight = values(&gradient(&*packed, LINEAR, &grad).unwrap());
        // |x| = sqrt(50) and |grad| = sqrt(8), both along their tokens; the exact gradient, too, is [12, 16].
        found.insert(by_weight.iter().map(|g| (g * 1e6).round() as i64).collect::<Vec<_>>());
    }
    let expected = [vec![0, 0], vec![12_000_000, 16_000_000]];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn pamm_takes_the_best_of_its_tokens() {
    let x = sample(&[40, 6], 8);
    let packed = pack("pamm:5", &x, Tokens);
    assert_eq!((packed.bytes().payload, packed.bytes().metadata), ((5 * 6 + 40) * 8, 40));
    let restored = packed.unpack().unwrap();
    let (rows, found) = (x.to_vec2::<f64>().unwrap(), restored.to_vec2::<f64>().unwrap());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // Kept rows are restored exactly; no other of these is by chance.
    let gap = |i: usize| rows[i].iter().zip(&found[i]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let kept: Vec<&[f64]> = (0..40).filter(|&i| gap(i) < 1e-20).map(|i| &rows[i][..]).collect();
    assert_eq!(kept.len(), 5);
    for (i, row) in rows.iter().enumerate() {
        let square = |line: &&[f64]| dot(row, line).powi(2) / dot(row, row) / dot(line, line);
        let best = kept.iter().map(square).fold(0.0, f64::max);
        assert!((1.0 - gap(i) / dot(row, row) - best).abs() < 1e-12, "row {i}");
    }
}

#[test]
fn pamm_with_every_token_is_exact() {
    let x = sample(&[3, 100, 5], 9);
    for (name, index) in [("pamm:300", 4), ("pamm:999", 4)] {
        let packed = pack(name, &x, Tokens);
        assert!(distance(&packed.unpack().unwrap(), &x) < 1e-14);
        assert_eq!(packed.bytes().metadata, 300 * index);
        let grad = sample(&[3, 100, 4], 10);
        let exact = linear::weight_grad(&x, &grad).unwrap();
        assert!(distance(&gradient(&*packed, LINEAR, &grad).unwrap(), &exact) < 1e-13);
    }
}

#[test]
fn what_is_for_linear_layers_says_so() {
    for name in ["velora:4", "compact:4", "pamm:4"] {
        let error = |shape: &[usize], axes| {
            let x = sample(shape, 11);
            let refused =
                bytes(&*parse(name).unwrap(), LINEAR, axes, shape, DType::F64).unwrap_err();
            let error = pack_at(name, &x, axes, 0, &mut CodecState::default()).err().unwrap();
            assert_eq!(error.to_string(), refused.to_string());
            error.to_string()
        };
        assert!(error(&[2, 4, 4, 4], Images).contains("linear layers"));
        assert!(error(&[0, 4], Tokens).contains("holds nothing"));
        assert!(error(&[], Tokens).contains("a scalar"));
    }
    let odd = bytes(&*parse("velora:4").unwrap(), LINEAR, Tokens, &[2, 6], DType::F64).unwrap_err();
    assert!(odd.to_string().contains("6 features do not divide into 4 parts"), "{odd}");
    for wrong in ["velora", "velora:0", "compact:x", "compact:1:2", "pamm:", "pamm:-1"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_finite_passes_through() {
    for (name, bad) in [("velora:2", f32::NAN), ("compact:2", f32::INFINITY), ("pamm:2", f32::NAN)]
    {
        let x = Tensor::new(&[[1f32, 2.0], [bad, 1.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let restored = pack(name, &x, Tokens).unpack().unwrap();
        assert_eq!(restored.dtype(), DType::F32);
        assert!(values(&restored).iter().any(|value| !value.is_finite()), "{name}");
    }
}
