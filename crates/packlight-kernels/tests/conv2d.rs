//! Compares convolution and its gradients with the sums that define them, over random shapes.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Tensor};
use common::{assert_within, largest, sample, values};
use packlight_kernels::block_pool;
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use proptest::prelude::*;

/// Calls `f` with each (output, weight, input) index triple of the sum that defines a convolution.
fn triples(
    input: &[usize],
    weight: &[usize],
    output: &[usize],
    g: &Conv2dGeometry,
    mut f: impl FnMut(usize, usize, usize),
) {
    let (depth, outputs) = (weight[1], weight[0] / g.groups);
    for b in 0..output[0] {
        for o in 0..output[1] {
            for y in 0..output[2] {
                for x in 0..output[3] {
                    for c in 0..depth {
                        for i in 0..weight[2] {
                            for j in 0..weight[3] {
                                let row =
                                    (y * g.stride.0 + i * g.dilation.0).wrapping_sub(g.padding.0);
                                let column =
                                    (x * g.stride.1 + j * g.dilation.1).wrapping_sub(g.padding.1);
                                if row < input[2] && column < input[3] {
                                    let channel = o / outputs * depth + c;
                                    f(
                                        ((b * output[1] + o) * output[2] + y) * output[3] + x,
                                        ((o * depth + c) * weight[2] + i) * weight[3] + j,
                                        ((b * input[1] + channel) * input[2] + row) * input[3]
                                            + column,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    input: [usize; 4],
    weight: [usize; 4],
    geometry: Conv2dGeometry,
}

type Pair = (usize, usize);

impl Case {
    /// For a batch, groups with their input and output channels, the size of a plane, and the kernel's size,
    /// stride, padding and dilation.
    fn of(
        (batch, (groups, depth, outputs), size, kernel, stride, padding, dilation): (
            usize,
            (usize, usize, usize),
            Pair,
            Pair,
            Pair,
            Pair,
            Pair,
        ),
    ) -> Self {
        Self {
            input: [batch, groups * depth, size.0, size.1],
            weight: [groups * outputs, depth, kernel.0, kernel.1],
            geometry: Conv2dGeometry { stride, padding, dilation, groups },
        }
    }

    /// Whether the kernel lies within the padded input.
    fn fits(&self) -> bool {
        let g = &self.geometry;
        g.dilation.0 * (self.weight[2] - 1) < self.input[2] + 2 * g.padding.0
            && g.dilation.1 * (self.weight[3] - 1) < self.input[3] + 2 * g.padding.1
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let pair = |low: usize, high: usize| (low..=high, low..=high);
    (
        1usize..5,
        (1usize..4, 1usize..4, 1usize..4),
        pair(1, 19),
        pair(1, 3),
        pair(1, 3),
        pair(0, 3),
        pair(1, 2),
    )
        .prop_map(Case::of)
        .prop_filter("the kernel fits", Case::fits)
}

/// A sum of products, and the sum of their magnitudes. What a sum loses by rounding grows with the
/// size of its terms: where they nearly cancel, the sum itself is no measure.
struct Sums {
    values: Vec<f64>,
    largest: f64,
}

impl Sums {
    /// The sums of the terms that `each` gives with their places, on top of `start`.
    fn of(start: Vec<f64>, each: impl FnOnce(&mut dyn FnMut(usize, f64))) -> Self {
        let mut magnitudes: Vec<f64> = start.iter().map(|x| x.abs()).collect();
        let mut values = start;
        each(&mut |at, term| {
            values[at] += term;
            magnitudes[at] += term.abs();
        });
        Self { values, largest: largest(&magnitudes) }
    }

    #[track_caller]
    fn are(&self, found: &Tensor, tolerance: f64) {
        assert_within(&values(found), &self.values, tolerance * self.largest);
    }
}

/// What an f32 sum may differ by, of the largest sum of magnitudes.
const DIRECT: f64 = 1e-6;
/// The same by Winograd's method, which takes differences of what lies around a target as well. Of
/// 4,500 random passes the largest difference was 1.4e-6, in planes of few tiles.
const WINOGRAD: f64 = 5e-6;

fn check(case: &Case, single_tolerance: f64) {
    let Case { input: x_shape, weight: w_shape, geometry } = case;
    let (x, w) = (sample(x_shape, "x"), sample(w_shape, "w"));
    let bias = sample(&[w_shape[0]], "b");
    let (xs, ws, bs) = (values(&x), values(&w), values(&bias));

    let y = conv2d::forward(&x, &w, Some(&bias), geometry).unwrap();
    let plane = y.dims()[2] * y.dims()[3];
    let start = (0..y.elem_count()).map(|at| bs[at / plane % w_shape[0]]).collect();
    let outputs = Sums::of(start, |add| {
        triples(x_shape, w_shape, y.dims(), geometry, |y, w, x| add(y, ws[w] * xs[x]));
    });
    outputs.are(&y, 1e-14);

    let grad = sample(y.dims(), "g");
    let gs = values(&grad);
    let dx = Sums::of(vec![0.0; xs.len()], |add| {
        triples(x_shape, w_shape, y.dims(), geometry, |y, w, x| add(x, ws[w] * gs[y]));
    });
    dx.are(&conv2d::input_grad(&grad, &w, x_shape, geometry).unwrap(), 1e-14);
    let dw = Sums::of(vec![0.0; ws.len()], |add| {
        triples(x_shape, w_shape, y.dims(), geometry, |y, w, x| add(w, xs[x] * gs[y]));
    });
    dw.are(&conv2d::weight_grad(&x, &grad, w_shape, geometry).unwrap(), 1e-14);
    let db = Sums::of(vec![0.0; w_shape[0]], |add| {
        gs.iter().enumerate().for_each(|(at, g)| add(at / plane % w_shape[0], *g));
    });
    db.are(&conv2d::bias_grad(&grad).unwrap(), 1e-14);

    // The loops for f32 are others than those for f64.
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let (x32, w32, g32) = (single(&x), single(&w), single(&grad));
    outputs.are(
        &conv2d::forward(&x32, &w32, Some(&single(&bias)), geometry).unwrap(),
        single_tolerance,
    );
    dx.are(&conv2d::input_grad(&g32, &w32, x_shape, geometry).unwrap(), single_tolerance);
    dw.are(&conv2d::weight_grad(&x32, &g32, w_shape, geometry).unwrap(), single_tolerance);

    for block in [1, 2, 3, 4] {
        let pooled = block_pool::pool(&x, block).unwrap();
        let restored = block_pool::unpool(&pooled, block, (x_shape[2], x_shape[3])).unwrap();
        let xs = values(&restored);
        let expected = Sums::of(vec![0.0; ws.len()], |add| {
            triples(x_shape, w_shape, y.dims(), geometry, |y, w, x| add(w, xs[x] * gs[y]));
        });
        let found =
            conv2d::weight_grad_from_pooled(&pooled, block, x_shape, &grad, w_shape, geometry)
                .unwrap();
        expected.are(&found, 1e-14);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_pass_is_the_sum_that_defines_it(case in cases()) {
        check(&case, DIRECT);
    }
}

/// Cases with one input and one output in each group.
fn depthwise_cases() -> impl Strategy<Value = Case> {
    let pair = |low: usize, high: usize| (low..=high, low..=high);
    (1usize..4, 1usize..6, pair(1, 25), pair(1, 7), pair(1, 4), pair(0, 5), pair(1, 3))
        .prop_map(|(batch, groups, size, kernel, stride, padding, dilation)| Case {
            input: [batch, groups, size.0, size.1],
            weight: [groups, 1, kernel.0, kernel.1],
            geometry: Conv2dGeometry { stride, padding, dilation, groups },
        })
        .prop_filter("the kernel fits", Case::fits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_pass_of_a_depthwise_convolution_is_the_sum_that_defines_it(case in depthwise_cases()) {
        check(&case, DIRECT);
    }
}

#[test]
fn sizes_that_need_several_bands_pieces_and_samples_at_once() {
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    for (input, weight) in [
        ([2, 40, 40, 40], [20, 40, 3, 3]),
        ([19, 33, 5, 4], [18, 33, 3, 3]),
        ([3, 6, 16, 18], [6, 1, 3, 3]),
    ] {
        let groups = input[1] / weight[1];
        for stride in [(1, 1), (2, 2)] {
            check(
                &Case { input, weight, geometry: Conv2dGeometry { stride, groups, ..geometry } },
                DIRECT,
            );
        }
    }
}

/// Cases with enough channels for Winograd's method; with fewer tiles, whole pairs of blocks of
/// channels are divided into tasks in another way.
fn wide_cases() -> impl Strategy<Value = Case> {
    (
        1usize..=6,
        1usize..=2,
        prop_oneof![48usize..=50, Just(64)],
        prop_oneof![48usize..=70, Just(64)],
        (1usize..=9, 1usize..=9),
        (0usize..=3, 0usize..=3),
    )
        .prop_map(|(batch, groups, depth, outputs, size, padding)| Case {
            input: [batch, groups * depth, size.0, size.1],
            weight: [groups * outputs, depth, 3, 3],
            geometry: Conv2dGeometry { padding, groups, ..Default::default() },
        })
        .prop_filter("the kernel fits", Case::fits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_pass_over_many_channels_is_the_sum_that_defines_it(case in wide_cases()) {
        check(&case, WINOGRAD);
    }
}

/// Rounding loses most where most of a tile lies beyond the plane.
#[test]
fn sums_of_a_single_tile_are_within_rounding() {
    let geometry = Conv2dGeometry::default();
    check(&Case { input: [2, 50, 3, 3], weight: [64, 50, 3, 3], geometry }, WINOGRAD);
}

/// Cases of planes so small that samples are side by side: with more samples than are, and channels
/// that do not fill a block.
fn small_plane_cases() -> impl Strategy<Value = Case> {
    let pair = |low: usize, high: usize| (low..=high, low..=high);
    (
        prop_oneof![1usize..=9, 16usize..=40],
        (1usize..=2, 1usize..=20, 1usize..=40),
        pair(1, 4),
        pair(1, 3),
        pair(1, 2),
        pair(0, 2),
        pair(1, 2),
    )
        .prop_map(Case::of)
        .prop_filter("the kernel fits", Case::fits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_pass_over_small_planes_is_the_sum_that_defines_it(case in small_plane_cases()) {
        check(&case, DIRECT);
    }
}

/// The points of Winograd's tiles are chosen for this error bound; with 0, 1, -1, 2 and -2 the
/// error would be twice as large.
#[test]
fn sums_over_many_channels_lose_few_digits() {
    let geometry = Conv2dGeometry { padding: (1, 1), ..Conv2dGeometry::default() };
    let input = sample(&[4, 256, 8, 8], "input").relu().unwrap();
    let weight = sample(&[64, 256, 3, 3], "weight");
    let narrow = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
    let (input, weight) = (narrow(&input), narrow(&weight));
    let found = conv2d::forward(&input, &weight, None, &geometry).unwrap();
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let exact = conv2d::forward(&wide(&input), &wide(&weight), None, &geometry).unwrap();
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (found, exact) = (values(&found), values(&exact));
    let errors: Vec<f64> = found.iter().zip(&exact).map(|(found, exact)| found - exact).collect();
    let error = norm(&errors) / norm(&exact);
    assert!(error < 2e-6, "{error:e}");
}

#[test]
fn one_thread_and_many_give_the_same_bits() {
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    // Few channels are taken directly, many by way of fewer multiplications, cut by samples or, with
    // fewer tiles than channels, by channels; small planes have samples side by side.
    for (channels, side) in [(24, 20), (56, 20), (64, 6), (72, 2)] {
        same_bits(channels, side, [channels + 8, channels, 3, 3], &geometry);
    }
    for stride in [(1, 1), (2, 2)] {
        let depthwise = Conv2dGeometry { groups: 24, stride, ..geometry };
        same_bits(24, 20, [24, 1, 3, 3], &depthwise);
    }
}

fn same_bits(channels: usize, side: usize, weight: [usize; 4], geometry: &Conv2dGeometry) {
    let x = sample(&[8, channels, side, side], "x").to_dtype(DType::F32).unwrap();
    let w = sample(&weight, "w").to_dtype(DType::F32).unwrap();
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let y = conv2d::forward(&x, &w, None, geometry).unwrap();
            let dx = conv2d::input_grad(&y, &w, x.dims(), geometry).unwrap();
            let dw = conv2d::weight_grad(&x, &y, w.dims(), geometry).unwrap();
            let pooled = block_pool::pool(&x, 2).unwrap();
            let dp = conv2d::weight_grad_from_pooled(&pooled, 2, x.dims(), &y, w.dims(), geometry)
                .unwrap();
            [y, dx, dw, dp].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        })
    };
    assert_eq!(all(1), all(2));
    assert_eq!(all(1), all(7));
}

#[test]
fn misfits_are_named() {
    let geometry = Conv2dGeometry::default();
    let x = sample(&[1, 3, 4, 4], "x");
    let error = |w: &[usize], g: &Conv2dGeometry| {
        conv2d::forward(&x, &sample(w, "w"), None, g).unwrap_err().to_string()
    };
    assert!(error(&[2, 4, 3, 3], &geometry).contains("needs 4 input channels"));
    assert!(error(&[2, 3, 5, 5], &geometry).contains("larger than the padded input"));
    assert!(error(&[2, 3, 3, 3], &Conv2dGeometry { groups: 2, ..geometry }).contains("2 groups"));
    assert!(
        error(&[2, 3, 3, 3], &Conv2dGeometry { stride: (0, 1), ..geometry }).contains("at least 1")
    );
    for huge in [
        Conv2dGeometry { padding: (usize::MAX, 1), ..geometry },
        Conv2dGeometry { padding: (1, 1 << 63), ..geometry },
        Conv2dGeometry { padding: (1 << 40, 1 << 40), stride: (1 << 39, 1 << 39), ..geometry },
        Conv2dGeometry { dilation: (1, 1 << 63), ..geometry },
        Conv2dGeometry { dilation: (usize::MAX, 1), ..geometry },
    ] {
        let error = error(&[2, 3, 3, 3], &huge);
        let clear = error.contains("too large to count") || error.contains("has too many elements");
        assert!(clear, "{error}");
    }
    let labels = x.to_dtype(DType::U8).unwrap();
    let error = conv2d::forward(&labels, &x, None, &geometry).unwrap_err().to_string();
    assert!(error.contains("f32 or f64"), "{error}");
}
