//! Codecs that draw random numbers: what is true on average, or of each draw, and that nothing but
//! the key decides.
//!
//! Where a codec is unbiased, the mean of a thousand draws lies within four standard errors, those
//! of the draws themselves, of the exact value: for each entry of the weight's gradient, which sums
//! over tokens or pixels, and for each element of the restored tensor. An element has few outcomes,
//! and one that comes up less than 8 times in a thousand draws may come up not at all (at a chance
//! of e^-8), which then hides as much of the mean: so much of the span is allowed on top, as
//! Bernstein's inequality does. Of 16,000 entries one lies beyond by chance; here are 3,480,
//! and their keys are fixed.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use asked::gradient;
use candle_core::{DType, Tensor};
use common::{distance, energy, sample, values};
use packlight_codec::registry::CODECS;
use packlight_codec::{AxisLayout, Codec, CodecState, Op, Site, parse};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{block_pool, linear};

const DRAWS: u64 = 1000;

/// What is true of what a codec restores.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Promise {
    /// Its mean is the tensor, and the mean weight gradient the exact one.
    Tensor,
    /// Biased, since groups of 4 neighbours share a code: its mean is theirs.
    MeansOfFour,
    /// Biased, since a part is left out: an orthogonal projection, in each draw, onto something
    /// that is drawn.
    Projection,
    /// Biased, since each draw is brought to the energy that tokens with nothing in common would have:
    /// that of the tensor for each token of a bin.
    Energy,
}

/// All that draw. Of Mesa it is true within its running range; what lies beyond gets the nearest
/// code, see `mesa.rs`. `dither` draws for the output gradient, so that only weight gradients vary.
/// What rounds to the nearest (`blpa`, `q2:nearest`, the narrow floats) draws nothing and is biased.
const PROMISES: &[(&str, Promise)] = &[
    ("q2", Promise::Tensor),
    ("q1", Promise::Tensor),
    ("q3", Promise::Tensor),
    ("q4", Promise::Tensor),
    ("q5", Promise::Tensor),
    ("q6", Promise::Tensor),
    ("q7", Promise::Tensor),
    ("q8", Promise::Tensor),
    ("outlier:0.01", Promise::Tensor),
    ("outlier:0.1", Promise::Tensor),
    ("alam", Promise::MeansOfFour),
    ("alam:2", Promise::Tensor),
    ("gact:4", Promise::Tensor),
    ("gact:2", Promise::Tensor),
    ("gact:4:50", Promise::Tensor),
    ("compact:4", Promise::Tensor),
    ("pamm:4", Promise::Projection),
    ("basis:4", Promise::Energy),
    ("qb:4", Promise::Projection),
    ("asi:4x8x4x4", Promise::Projection),
    ("asi:2x3", Promise::Projection),
    ("dither:2", Promise::Tensor),
    ("dither:0.5", Promise::Tensor),
    ("division", Promise::Tensor),
    ("division:8:8", Promise::Tensor),
    ("division:4:1", Promise::Tensor),
    ("mesa", Promise::Tensor),
    ("actnn:3", Promise::Tensor),
    ("actnn:1", Promise::Tensor),
    ("actnn:2", Promise::Tensor),
];

/// A layer's input and output gradient.
struct Case {
    axes: AxisLayout,
    x: Tensor,
    grad: Tensor,
    weight_shape: Vec<usize>,
}

impl Case {
    /// A convolution with 3 x 3 taps, whose output is as large as its input.
    fn images([n, c, h, w]: [usize; 4]) -> Self {
        let (x, grad) = (sample(&[n, c, h, w], 1), sample(&[n, 1, h, w], 2));
        Self { axes: AxisLayout::Images, x, grad, weight_shape: vec![1, c, 3, 3] }
    }

    fn tokens([tokens, features]: [usize; 2]) -> Self {
        let (x, grad) = (sample(&[tokens, features], 3), sample(&[tokens, 2], 4));
        Self { axes: AxisLayout::Tokens, x, grad, weight_shape: vec![2, features] }
    }

    fn op(&self) -> Op<'_> {
        match self.axes {
            AxisLayout::Images => asked::conv2d(&self.weight_shape, &geometry()),
            _ => Op::Linear { weight_shape: &self.weight_shape },
        }
    }

    fn weight_grad(&self, x: &Tensor) -> Vec<f64> {
        values(&match self.axes {
            AxisLayout::Images => {
                conv2d::weight_grad(x, &self.grad, &self.weight_shape, &geometry()).unwrap()
            }
            _ => linear::weight_grad(x, &self.grad).unwrap(),
        })
    }
}

fn geometry() -> Conv2dGeometry {
    Conv2dGeometry { padding: (1, 1), ..Default::default() }
}

/// What one step restores, and its weight gradient; `None` where the codec refuses the case or
/// restores nothing.
fn draw(
    codec: &dyn Codec,
    case: &Case,
    memory: &CodecState,
    key: Key,
) -> Option<(Tensor, Vec<f64>)> {
    let state = &mut memory.clone();
    let site = &mut Site::new(case.op(), case.axes, key, state);
    let packed = codec.pack(&case.x, site).ok()?;
    let restored = packed.unpack().ok()?;
    let gradients = codec.gradients();
    let changed = gradients.and_then(|own| own.output_grad(&case.grad, site).unwrap());
    let grad = changed.as_ref().unwrap_or(&case.grad);
    let by_weight = gradient(&*packed, case.op(), grad);
    Some((restored, values(&by_weight.unwrap())))
}

fn key(seed: u64, step: u64) -> Key {
    Key::new(seed, Purpose::Codec).step(step)
}

/// What a codec remembers that has seen nothing, and what it remembers after a step with twice the
/// tensor, if anything.
fn memories(codec: &dyn Codec, case: &Case) -> Vec<CodecState> {
    let mut memory = CodecState::default();
    let mut site = Site::new(case.op(), case.axes, key(0, 0), &mut memory);
    if codec.pack(&(&case.x * 2.0).unwrap(), &mut site).is_ok() {
        if let Some(gradients) = codec.gradients() {
            gradients.output_grad(&case.grad, &mut site).unwrap();
        }
        if let Some(adaptive) = codec.adaptive() {
            adaptive.measured(&[1.0], &mut memory).unwrap();
            adaptive.allocate(&mut [&mut memory]).unwrap();
        }
    }
    let remembers = memory.tensors().next().is_some();
    [CodecState::default()].into_iter().chain(remembers.then_some(memory)).collect()
}

/// The entries whose mean over `draws` is further from `exact` than four standard errors and, on
/// top, `allowed`.
fn biased(draws: &[Vec<f64>], exact: &[f64], allowed: f64) -> Vec<String> {
    let n = draws.len() as f64;
    let off = |(at, &exact): (usize, &f64)| {
        let each = || draws.iter().map(|draw| draw[at]);
        let mean = each().sum::<f64>() / n;
        let variance = each().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        let rounding = 1e-6 * exact.abs().max(1.0);
        let close = (mean - exact).abs() <= 4.0 * error + allowed + rounding; // NaN is not
        (!close).then(|| format!("{at}: {mean} +- {error}, not {exact}"))
    };
    exact.iter().enumerate().filter_map(off).collect()
}

/// The largest span of an entry.
fn span(draws: &[Vec<f64>]) -> f64 {
    let spans = (0..draws[0].len()).map(|at| {
        let each = || draws.iter().map(|draw| draw[at]);
        each().fold(f64::MIN, f64::max) - each().fold(f64::MAX, f64::min)
    });
    spans.fold(0.0, f64::max)
}

/// `x` with the mean of each four neighbours of a sample in their place.
fn means_of_four(x: &Tensor) -> Tensor {
    let flat = x.flatten_from(1).unwrap();
    let means = block_pool::pool_features(&flat, 4).unwrap();
    let features = flat.dim(1).unwrap();
    block_pool::unpool_features(&means, 4, features).unwrap().reshape(x.shape()).unwrap()
}

#[test]
fn the_mean_of_a_thousand_draws_is_within_four_standard_errors() {
    let mut entries = 0;
    let on_average = |promise| matches!(promise, Promise::Tensor | Promise::MeansOfFour);
    for &(name, promise) in PROMISES.iter().filter(|(_, promise)| on_average(*promise)) {
        let codec = parse(name).unwrap();
        for case in [Case::images([2, 2, 3, 3]), Case::tokens([8, 6])] {
            let expected =
                if promise == Promise::Tensor { case.x.clone() } else { means_of_four(&case.x) };
            for (steps, memory) in memories(&*codec, &case).iter().enumerate() {
                let drawn = (0..DRAWS).map(|step| draw(&*codec, &case, memory, key(1, step)));
                let Some(drawn) = drawn.collect::<Option<Vec<_>>>() else { continue };
                let (restored, by_weight): (Vec<_>, Vec<_>) =
                    drawn.into_iter().map(|(restored, grad)| (values(&restored), grad)).unzip();
                let rare = 8.0 * span(&restored) / DRAWS as f64;
                let off = biased(&restored, &values(&expected), rare);
                assert!(off.is_empty(), "{name}, {:?} after {steps}: {off:?}", case.axes);
                let off = biased(&by_weight, &case.weight_grad(&expected), 0.0);
                assert!(off.is_empty(), "{name}, {:?} after {steps}, grad: {off:?}", case.axes);
                entries += restored[0].len() + by_weight[0].len();
            }
        }
    }
    assert_eq!(entries, 3480);
}

/// Root of the mean square error of a weight gradient that is the mean of `repeats` draws, over 64
/// such means, by the norm of the exact one.
fn error_of_mean(name: &str, case: &Case, repeats: u64) -> f64 {
    let (codec, exact) = (parse(name).unwrap(), case.weight_grad(&case.x));
    let squares = (0..64).map(|seed| {
        let mut mean = vec![0.0; exact.len()];
        for step in 0..repeats {
            let (_, grad) = draw(&*codec, case, &CodecState::default(), key(seed, step)).unwrap();
            mean.iter_mut().zip(grad).for_each(|(mean, g)| *mean += g / repeats as f64);
        }
        mean.iter().zip(&exact).map(|(mean, exact)| (mean - exact).powi(2)).sum::<f64>()
    });
    let norm = exact.iter().map(|g| g * g).sum::<f64>();
    (squares.sum::<f64>() / 64.0 / norm).sqrt()
}

#[test]
fn the_mean_of_r_draws_is_nearer_by_the_root_of_r_and_that_of_pooling_is_not() {
    for case in [Case::images([4, 4, 6, 6]), Case::tokens([32, 12])] {
        for name in ["q2", "q4", "division:4:1"] {
            let ratio = error_of_mean(name, &case, 1) / error_of_mean(name, &case, 16);
            assert!((ratio - 4.0).abs() < 0.6, "{name}, {:?}: {ratio}", case.axes);
        }
        let once = error_of_mean("pool2", &case, 1);
        assert!(once > 0.1 && (error_of_mean("pool2", &case, 16) / once - 1.0).abs() < 1e-9);
    }
}

#[test]
fn what_is_left_out_is_orthogonal_to_what_is_kept() {
    for &(name, _) in PROMISES.iter().filter(|(_, promise)| *promise == Promise::Projection) {
        let codec = parse(name).unwrap();
        let mut kept = Vec::new();
        for case in larger() {
            for memory in memories(&*codec, &case) {
                let drawn = (0..20).filter_map(|step| draw(&*codec, &case, &memory, key(1, step)));
                for (restored, _) in drawn {
                    let left = (&case.x - &restored).unwrap();
                    let product = (left * &restored).unwrap().sum_all().unwrap();
                    let product = product.to_scalar::<f64>().unwrap();
                    assert!(product.abs() < 1e-10 * energy(&case.x), "{name}: {product}");
                    kept.push(energy(&restored) / energy(&case.x));
                }
            }
        }
        assert!(!kept.is_empty() && kept.iter().all(|share| *share < 0.99), "{name}: {kept:?}");
    }
}

#[test]
fn sums_in_bins_have_the_energy_of_the_tokens() {
    for &(name, _) in PROMISES.iter().filter(|(_, promise)| *promise == Promise::Energy) {
        let (codec, [_, case]) = (parse(name).unwrap(), larger());
        for step in 0..20 {
            let state = &CodecState::default();
            let (restored, by_weight) = draw(&*codec, &case, state, key(1, step)).unwrap();
            // 20 tokens in 4 bins: each sum stands for 5 of them.
            let ratio = energy(&restored) / energy(&case.x);
            assert!((ratio - 5.0).abs() < 1e-10, "{name}: {ratio}");
            // The gradient's sketch also has the norm of the gradient, so no product is longer.
            let size = by_weight.iter().map(|g| g * g).sum::<f64>();
            assert!(size > 0.0 && size <= energy(&case.x) * energy(&case.grad), "{name}: {size}");
        }
    }
}

/// So large that projections leave something out.
fn larger() -> [Case; 2] {
    [Case::images([6, 9, 6, 5]), Case::tokens([20, 8])]
}

#[test]
fn the_key_alone_decides_and_all_that_draw_are_listed() {
    let mut drawing = Vec::new();
    for name in CODECS.iter().flat_map(|entry| entry.examples) {
        let codec = parse(name).unwrap();
        let mut draws = false;
        for case in larger() {
            let bits = |seed, step| {
                let (restored, grad) =
                    draw(&*codec, &case, &CodecState::default(), key(seed, step))?;
                let all = values(&restored).into_iter().chain(grad);
                Some(all.map(f64::to_bits).collect::<Vec<_>>())
            };
            let first = bits(1, 0);
            assert_eq!(first, bits(1, 0), "{name}: the same key");
            let others = [bits(2, 0), bits(1, 1)].map(|other| other != first);
            assert_eq!(others[0], others[1], "{name}: seeds and steps matter alike");
            draws |= others[0];
        }
        if draws {
            drawing.push(*name);
        }
    }
    let listed: Vec<&str> = PROMISES.iter().map(|(name, _)| *name).collect();
    assert_eq!(drawing, listed);
}

#[test]
fn compact_is_as_far_off_as_a_gaussian_projection() {
    // E[1 - |x - x P P^T|^2 / |x|^2] = 1 - (n + 1) / r.
    let codec = parse("compact:4").unwrap();
    let case = Case::tokens([8, 12]);
    let draws: Vec<Vec<f64>> = (0..DRAWS)
        .map(|step| {
            let (restored, _) = draw(&*codec, &case, &CodecState::default(), key(1, step)).unwrap();
            assert_eq!(restored.dtype(), DType::F64);
            vec![1.0 - distance(&restored, &case.x).powi(2)]
        })
        .collect();
    let off = biased(&draws, &[1.0 - 13.0 / 4.0], 0.0);
    assert!(off.is_empty(), "{off:?}");
}
