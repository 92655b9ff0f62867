//! What codecs promise that keep some of the elements.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Tensor};
use common::{dot, gap, indicator, pack, restore, sample, values};
use packlight_codec::AxisLayout::{Images, Tokens};
use packlight_codec::{Bytes, parse};
use packlight_kernels::relu;

#[test]
fn the_largest_keep_the_known_share_of_a_normal_distribution() {
    let x = sample(&[16, 8, 32, 32], 1);
    for (codec, expected) in [
        ("topk:0.1", 0.438),
        ("topk:0.3", 0.782),
        ("topk:0.1:mask", 0.438),
        ("topk:0.3:mask", 0.782),
        ("swat:0.1", 0.438),
        ("topk:1", 1.0),
        ("topk:1:mask", 1.0),
        ("bitmap", 1.0),
    ] {
        let restored = restore(codec, &x, Images);
        let found = indicator(&restored, &x);
        assert!((found - expected).abs() < 0.005, "{codec}: {found}");
        let energy = dot(&restored, &restored) / dot(&x, &x);
        let cosine = dot(&x, &restored) / (dot(&x, &x) * dot(&restored, &restored)).sqrt();
        assert!((found - energy).abs() < 1e-12 && (found - cosine * cosine).abs() < 1e-12);
        assert_eq!(gap(&restored, &x) == 0.0, expected == 1.0);
    }
}

#[test]
fn bytes_are_those_of_the_papers() {
    let x = sample(&[4, 8, 16, 16], 1).to_dtype(DType::F32).unwrap();
    let n = 4 * 8 * 16 * 16;
    let rectified = relu::forward_only(&x).unwrap();
    let left = values(&rectified).iter().filter(|x| **x != 0.0).count();
    for (codec, x, payload, metadata) in [
        ("topk:0.1", &x, 819 * 4, 819 * 4),
        ("topk:0.125:mask", &x, n / 8 * 4, n / 8),
        ("swat:0.125", &x, n / 8 * 4, n / 8),
        ("bitmap", &rectified, left * 4, n / 8),
        // Half of 4 x 32 blocks, and 4 + 1 row pointers.
        ("bsr:8:0.5", &x, 64 * 64 * 4, (64 + 5) * 4),
    ] {
        assert_eq!(pack(codec, x, Images).bytes(), Bytes { payload, metadata }, "{codec}");
    }
    assert_eq!(gap(&restore("bitmap", &rectified, Images), &rectified), 0.0);
}

#[test]
fn a_mask_is_by_sample_and_indices_are_by_batch() {
    let ones = Tensor::ones((2, 10), DType::F64, &candle_core::Device::Cpu).unwrap();
    let scale = Tensor::new(&[[1f64], [100.0]], &candle_core::Device::Cpu).unwrap();
    let x = ones.broadcast_mul(&scale).unwrap();
    let kept = |codec: &str| -> Vec<usize> {
        let restored = values(&restore(codec, &x, Tokens));
        restored.chunks(10).map(|row| row.iter().filter(|x| **x != 0.0).count()).collect()
    };
    assert_eq!(kept("topk:0.3"), [0, 6]);
    assert_eq!(kept("topk:0.3:mask"), [3, 3]);
    assert_eq!(kept("swat:0.3"), [0, 6]);
    // Of equal magnitudes the first.
    assert_eq!(values(&restore("topk:0.3:mask", &x, Tokens))[..4], [1.0, 1.0, 1.0, 0.0]);
}

#[test]
fn the_strongest_blocks_are_kept() {
    // Four blocks of 2 x 2, of which the second has the largest magnitudes.
    let x = Tensor::new(
        &[[1f64, 1.0, -4.0, 5.0], [1.0, 1.0, 0.0, 0.0], [3.0, 0.0, 2.0, 0.0], [0.0, 3.0, 0.0, 2.0]],
        &candle_core::Device::Cpu,
    )
    .unwrap();
    let expected = [[0.0, 0.0, -4.0, 5.0], [0.0; 4], [3.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]];
    assert_eq!(values(&restore("bsr:2:0.5", &x, Tokens)), expected.concat());
    assert_eq!(gap(&restore("bsr:3:1", &x, Tokens), &x), 0.0);
    // Rows are channels and columns pixels: one channel is one row.
    let image = x.reshape((1, 1, 4, 4)).unwrap();
    let restored = values(&restore("bsr:2:0.25", &image, Images));
    assert_eq!(restored.iter().filter(|x| **x != 0.0).count(), 3);
    assert_eq!((&restored[2..4], restored[8]), (&[-4.0, 5.0][..], 3.0));
}

#[test]
fn swat_computes_with_the_largest_weights() {
    let weight = Tensor::new(&[[0.5f64, -3.0], [2.0, 0.1]], &candle_core::Device::Cpu).unwrap();
    let used = parse("swat:0.5").unwrap().operands().unwrap().weight(&weight).unwrap().unwrap();
    assert_eq!(values(&used), [0.0, -3.0, 2.0, 0.0]);
    assert!(parse("topk:0.5").unwrap().operands().is_none());
}

#[test]
fn parameters_are_checked() {
    for wrong in ["topk", "topk:0", "topk:1.5", "topk:NaN", "topk:0.1:masks", "swat", "swat:-1"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    for wrong in ["bsr", "bsr:8", "bsr:0:0.5", "bsr:8:0", "bsr:100000:0.5", "bitmap:2", "dither:0"]
    {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
