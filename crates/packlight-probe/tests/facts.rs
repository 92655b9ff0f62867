//! What must be true of the metrics whatever the tensors.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use packlight_codec::{AxisLayout, CodecState, Op, Site};
use packlight_kernels::rng::{Key, Purpose};
use packlight_probe::metric::{
    Rows, cosine, learning_indicator, norm_ratio, relative_error, snr_db,
};
use proptest::prelude::*;

fn normals(seed: u64, count: usize) -> Vec<f64> {
    let mut stream = Key::new(seed, Purpose::Sample).stream();
    (0..count).map(|_| stream.normal()).collect()
}

fn tensor(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// The learning indicator of all elements as one token.
fn indicator(exact: &[f64], restored: &[f64]) -> f64 {
    let row = |values: &[f64]| tensor(values, &[1, values.len()]);
    learning_indicator(Rows::Tokens, &row(exact), &row(restored)).unwrap().unwrap().mean
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

proptest! {
    #[test]
    fn equal_tensors_are_as_close_as_can_be(seed in any::<u64>(), count in 1usize..200) {
        let g = normals(seed, count);
        prop_assert_eq!(cosine(&g, &g), Some(1.0));
        prop_assert_eq!(relative_error(&g, &g), Some(0.0));
        prop_assert_eq!(norm_ratio(&g, &g), Some(1.0));
        prop_assert_eq!(snr_db(&g, &g), None);
        prop_assert!((indicator(&g, &g) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn twice_the_tensor_teaches_as_little_as_nothing(seed in any::<u64>(), count in 1usize..200) {
        let h = normals(seed, count);
        let times = |c: f64| h.iter().map(|h| c * h).collect::<Vec<_>>();
        prop_assert!(indicator(&h, &times(2.0)).abs() < 1e-9);
        prop_assert_eq!(indicator(&h, &times(0.0)), 0.0);
        prop_assert!((indicator(&h, &times(-1.0)) + 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_learning_indicator_is_one_less_the_squared_relative_error(
        seed in any::<u64>(),
        count in 1usize..200,
        noise in 0.0..3.0f64,
    ) {
        let h = normals(seed, count);
        let r: Vec<f64> =
            h.iter().zip(normals(!seed, count)).map(|(h, n)| h + noise * n).collect();
        let error = relative_error(&h, &r).unwrap();
        prop_assert!((indicator(&h, &r) - (1.0 - error * error)).abs() < 1e-6 * (1.0 + error * error));
        let db = snr_db(&h, &r);
        prop_assert!(db.is_none_or(|db| (db + 20.0 * error.log10()).abs() < 1e-9));
    }

    #[test]
    fn scaling_leaves_the_cosine_and_changes_the_indicator_by_its_formula(
        seed in any::<u64>(),
        count in 1usize..200,
        c in 0.01..10.0f64,
    ) {
        let (h, r) = (normals(seed, count), normals(!seed, count));
        let scaled: Vec<f64> = r.iter().map(|r| c * r).collect();
        let (before, after) = (cosine(&h, &r).unwrap(), cosine(&h, &scaled).unwrap());
        prop_assert!((before - after).abs() < 1e-12);
        let (ratio, scaled_ratio) = (norm_ratio(&h, &r).unwrap(), norm_ratio(&h, &scaled).unwrap());
        prop_assert!((c * ratio - scaled_ratio).abs() < 1e-9 * scaled_ratio);
        let hh = dot(&h, &h);
        let expected = 2.0 * c * dot(&h, &r) / hh - c * c * dot(&r, &r) / hh;
        prop_assert!((indicator(&h, &scaled) - expected).abs() < 1e-9 * (1.0 + expected.abs()));
    }

    /// Woo and Jeon's theorem 1 on one sample of a linear layer whose loss is |W h - t|^2 / 2, with a
    /// gradient of Lipschitz constant |h|^2: a step of eta <= 1 / |h|^2 along delta r^T leaves the
    /// loss at most at f - eta / 2 |delta|^2 r.(2h - r), so that it falls where the indicator is
    /// positive.
    #[test]
    fn a_step_descends_at_least_by_what_the_indicator_promises(
        seed in any::<u64>(),
        count in 1usize..50,
        outputs in 1usize..5,
        noise in 0.0..3.0f64,
        share in 0.01..1.0f64,
    ) {
        let (h, delta) = (normals(seed, count), normals(seed ^ 1, outputs));
        let r: Vec<f64> =
            h.iter().zip(normals(!seed, count)).map(|(h, n)| h + noise * n).collect();
        let (hh, squares) = (dot(&h, &h), dot(&delta, &delta));
        let eta = share / hh;
        // After the step W h - t is delta - eta delta (r.h).
        let after: Vec<f64> = delta.iter().map(|d| d - eta * d * dot(&r, &h)).collect();
        let promised = eta / 2.0 * squares * indicator(&h, &r) * hh;
        prop_assert!(dot(&after, &after) / 2.0 <= squares / 2.0 - promised + 1e-9 * squares);
    }

    /// Pooling is an orthogonal projector at every size, so its indicator is the squared cosine
    /// and the share of the energy that it keeps.
    #[test]
    fn pooling_has_the_squared_cosine_as_its_indicator(
        seed in any::<u64>(),
        shape in [1usize..3, 1usize..4, 1usize..10, 1usize..10],
        block in 2usize..5,
    ) {
        let one = [1, shape[1], shape[2], shape[3]];
        let h = normals(seed, one.iter().product());
        let codec = packlight_codec::parse(&format!("pool{block}")).unwrap();
        let (axes, key) = (AxisLayout::Images, Key::new(0, Purpose::Codec));
        let mut memory = CodecState::default();
        let mut site = Site::new(Op::Custom("test"), axes, key, &mut memory);
        let packed = codec.pack(&tensor(&h, &one), &mut site).unwrap();
        let r: Vec<f64> = packed.unpack().unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let li = indicator(&h, &r);
        let cos = cosine(&h, &r).unwrap_or(0.0);
        prop_assert!((li - cos * cos).abs() < 1e-9);
        prop_assert!((li - dot(&r, &r) / dot(&h, &h)).abs() < 1e-9);
    }

    #[test]
    fn a_zero_reference_leaves_everything_undefined(seed in any::<u64>(), count in 1usize..50) {
        let (zero, h) = (vec![0.0; count], normals(seed, count));
        prop_assert_eq!(cosine(&zero, &h), None);
        prop_assert_eq!(relative_error(&zero, &h), None);
        prop_assert_eq!(norm_ratio(&zero, &h), None);
        prop_assert_eq!(snr_db(&zero, &h), None);
    }
}
