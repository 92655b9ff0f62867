//! Compares activation functions, norms, softmax and the loss in f32, and their gradients, with the
//! formulas in f64 over the whole range of f32, by relative error except near 0.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::cross_entropy::{self, Targets};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::softmax::{self, Visible};
use packlight_kernels::values::Values;
use packlight_kernels::{batch_norm, dither, gelu, layer_norm, silu};

/// The smallest normal f32, and the smallest of all.
const NORMAL: f64 = f32::MIN_POSITIVE as f64;
const LEAST: f64 = 1.5e-45;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Numbers of every magnitude and sign, infinities, and a dense grid where functions bend.
fn numbers() -> Vec<f32> {
    let sizes = (0..=0x7f80_0000u32).step_by(104_729).map(f32::from_bits);
    let bend = (0..=1_060_000).map(|step| step as f32 * 1e-4);
    let special = [f32::MAX, f32::MIN_POSITIVE, 1e-45, f32::INFINITY, 14.0, 1000.0, 1e10];
    sizes.chain(bend).chain(special).flat_map(|x| [x, -x]).collect()
}

/// A function and its derivative in f64.
type Exact = fn(f64) -> (f64, f64);

/// `x` times a distribution's Φ, and the derivative, given Φ(-z) and φ(z) for z >= 0.
fn gate(x: f64, tail: f64, density: f64) -> (f64, f64) {
    let share = if x < 0.0 { tail } else { 1.0 - tail };
    let product = if share == 0.0 { 0.0 } else { x * share };
    let slope = if density == 0.0 { 0.0 } else { x * density };
    (product, share + slope)
}

#[test]
fn activation_functions_are_right_everywhere_and_never_of_the_wrong_sign() {
    let of_gelu: Exact = |x| {
        let z = x.abs();
        let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
        gate(x, 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2), density)
    };
    let of_silu: Exact = |x| {
        let e = (-x.abs()).exp();
        gate(x, e / (1.0 + e), e / ((1.0 + e) * (1.0 + e)))
    };
    let x = numbers();
    type Kernel = fn(&Tensor) -> packlight_kernels::Result<Tensor>;
    type Backward = fn(Values<'_>, &Tensor) -> packlight_kernels::Result<Tensor>;
    let kernels = [
        ("gelu", gelu::forward as Kernel, gelu::backward as Backward, of_gelu),
        ("silu", silu::forward, silu::backward, of_silu),
    ];
    for (name, forward, backward, exact) in kernels {
        for dtype in [DType::F32, DType::F64] {
            let input = tensor(&x, &[x.len()]).to_dtype(dtype).unwrap();
            let output = values(&forward(&input).unwrap());
            let slopes = values(&backward((&input).into(), &input.ones_like().unwrap()).unwrap());
            let (tolerance, least) = match dtype {
                DType::F32 => (1e-6, LEAST),
                _ => (1e-12, 1e-300),
            };
            for ((&x, found), slope) in x.iter().zip(output).zip(slopes) {
                let (value, derivative) = exact(f64::from(x));
                let gap = (found - value).abs();
                let allowed = tolerance * value.abs() + least;
                assert!(found == value || gap <= allowed, "{name}({x}): {found:e}, {value:e}");
                let sign = if x < 0.0 { found <= 0.0 } else { found >= 0.0 };
                assert!(sign, "{name}({x}) is {found}");
                // Where the derivative passes through 0, by the larger of its two terms.
                let term = if x < 0.0 { (value / f64::from(x)).abs().min(1.0) } else { 0.0 };
                let allowed = tolerance * derivative.abs().max(term) + least;
                let gap = (slope - derivative).abs();
                assert!(gap <= allowed, "{name}'({x}): {slope:e}, {derivative:e}");
            }
            let nan = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert!(values(&forward(&nan).unwrap())[0].is_nan());
            assert!(
                values(&backward((&nan).into(), &nan.ones_like().unwrap()).unwrap())[0].is_nan()
            );
        }
    }
}

/// Rows of normal numbers times 10^k, for k from -44 to `highest`, plus some that are far from 0.
fn rows(count: usize, width: usize, highest: i32) -> Vec<Vec<f32>> {
    let mut stream = Key::new(7, Purpose::Sample).stream();
    let mut rows = Vec::new();
    for number in 0..count {
        let scale = 10f64.powi(-44 + number as i32 * (highest + 44) / (count as i32 - 1));
        rows.push((0..width).map(|_| (stream.normal() * scale) as f32).collect());
    }
    rows.push((0..width).map(|_| (stream.normal() + 30.0) as f32).collect());
    rows
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&x| x.into()).collect()
}

fn assert_close(what: &str, found: &[f64], exact: &[f64], tolerance: impl Fn(usize) -> f64) {
    assert_eq!(found.len(), exact.len(), "{what}");
    for (at, (found, exact)) in found.iter().zip(exact).enumerate() {
        let gap = (found - exact).abs();
        assert!(gap <= tolerance(at), "{what}, element {at}: {found:e} found, {exact:e} expected");
    }
}

/// The mean, one over the standard deviation, and for output gradients `g` the gradients of input,
/// weight and bias.
fn norm(x: &[f64], g: &[f64], epsilon: f64) -> (f64, f64, Vec<f64>, f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    let total: f64 = g.iter().sum();
    let product = g.iter().zip(x).map(|(g, x)| g * (x - mean) * inverse).sum::<f64>();
    let by_input = g
        .iter()
        .zip(x)
        .map(|(g, x)| inverse * (g - total / n - (x - mean) * inverse * product / n));
    (mean, inverse, by_input.collect(), product, total)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |top: f64, x| top.max(x.abs()))
}

#[test]
fn layer_norm_is_right_for_inputs_of_every_size() {
    let (width, epsilon) = (67, 1e-5);
    let rows = rows(84, width, 38);
    let flat: Vec<f32> = rows.concat().iter().map(|x| x.clamp(f32::MIN, f32::MAX)).collect();
    let mut stream = Key::new(8, Purpose::Sample).stream();
    let mut draw = |count| -> Vec<f32> { (0..count).map(|_| stream.normal() as f32).collect() };
    let (weight, bias, grad) = (draw(width), draw(width), draw(flat.len()));
    let (x, w) = (tensor(&flat, &[rows.len(), width]), tensor(&weight, &[width]));
    let found = layer_norm::forward(&x, &w, &tensor(&bias, &[width]), epsilon).unwrap();
    let g = tensor(&grad, &[rows.len(), width]);
    let (by_input, by_weight, by_bias) =
        layer_norm::backward((&x).into(), &g, &found.mean, &found.inverse, &w).unwrap();
    let (output, by_input) = (values(&found.output), values(&by_input));
    let (mut sums, mut sizes) = (vec![[0.0; 2]; width], vec![0.0; width]);
    for (row, x) in flat.chunks(width).enumerate() {
        let (x, g) = (wide(x), wide(&grad[row * width..][..width]));
        let scaled: Vec<f64> = g.iter().zip(&weight).map(|(g, &w)| g * f64::from(w)).collect();
        let (mean, inverse, expected, _, _) = norm(&x, &scaled, epsilon);
        let normal = |at: usize| (x[at] - mean) * inverse;
        let exact: Vec<f64> =
            (0..width).map(|at| normal(at) * f64::from(weight[at]) + f64::from(bias[at])).collect();
        let what = format!("row {row}, up to {:e}", largest(&x));
        let span = row * width..(row + 1) * width;
        assert_close(&what, &output[span.clone()], &exact, |at| {
            2e-7 * (normal(at) * f64::from(weight[at])).abs() + 2e-7 * f64::from(bias[at]).abs()
        });
        // The mean is kept in f32: by so much, relative to the deviation.
        let rounded = 1e-6 + 1e-7 * (mean * inverse).abs();
        let top = largest(&expected);
        assert_close(&what, &by_input[span], &expected, |_| rounded * top + 1e2 * LEAST);
        for at in 0..width {
            sums[at][0] += g[at] * normal(at);
            sums[at][1] += g[at];
            sizes[at] += (g[at] * normal(at)).abs() + g[at].abs();
        }
    }
    let [weights, biases] = [0, 1].map(|of| sums.iter().map(|s| s[of]).collect::<Vec<f64>>());
    assert_close("by weight", &values(&by_weight), &weights, |at| 3e-6 * sizes[at]);
    assert_close("by bias", &values(&by_bias), &biases, |at| 1e-7 * sizes[at]);
}

#[test]
fn batch_norm_is_right_for_inputs_of_every_size() {
    let (samples, pixels) = (3, 417);
    // Deviations from the mean are f32, too.
    let rows = rows(82, samples * pixels, 37);
    let channels = rows.len();
    let at = |sample: usize, channel: usize, pixel: usize| {
        (sample * channels + channel) * pixels + pixel
    };
    let mut flat = vec![0f32; samples * channels * pixels];
    for (channel, row) in rows.iter().enumerate() {
        for (number, &x) in row.iter().enumerate() {
            flat[at(number / pixels, channel, number % pixels)] = x;
        }
    }
    let mut stream = Key::new(8, Purpose::Sample).stream();
    let grad: Vec<f32> = flat.iter().map(|_| stream.normal() as f32).collect();
    let shape = [samples, channels, pixels];
    let (x, g) = (tensor(&flat, &shape), tensor(&grad, &shape));
    let (mean, variance) = batch_norm::statistics(&x).unwrap();
    let inverse = (variance + 1e-5).unwrap().sqrt().unwrap().recip().unwrap();
    let inverse = inverse.to_dtype(DType::F32).unwrap();
    let one = tensor(&vec![1.0; channels], &[channels]);
    let zero = one.zeros_like().unwrap();
    let output = batch_norm::normalise(&x, &mean, &inverse, &one, &zero).unwrap();
    let (by_input, by_weight, by_bias) =
        batch_norm::backward(&x, &g, &mean, &inverse, &one).unwrap();
    let [output, by_input, by_weight, by_bias] =
        [output, by_input, by_weight, by_bias].map(|tensor| values(&tensor));
    for channel in 0..channels {
        let of = |values: &[f64]| -> Vec<f64> {
            let one = |number: usize| values[at(number / pixels, channel, number % pixels)];
            (0..samples * pixels).map(one).collect()
        };
        let (x, g) = (wide(&rows[channel]), of(&wide(&grad)));
        let (mean, inverse, expected, product, total) = norm(&x, &g, 1e-5);
        let what = format!("channel {channel}, up to {:e}", largest(&x));
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
        // Mean and inverse deviation are kept in f32, the latter below the normal numbers, too.
        let rounded = 1e-6 + 1e-7 * (mean * inverse).abs() + LEAST / inverse;
        let top = largest(&normal);
        assert_close(&what, &of(&output), &normal, |_| rounded * top + NORMAL);
        let top = largest(&expected);
        assert_close(&what, &of(&by_input), &expected, |_| rounded * top + 1e2 * LEAST);
        let size: f64 = g.iter().zip(&normal).map(|(g, x)| (g * x).abs()).sum();
        assert_close(&what, &[by_weight[channel]], &[product], |_| rounded * size + NORMAL);
        let size: f64 = g.iter().map(|g| g.abs()).sum();
        assert_close(&what, &[by_bias[channel]], &[total], |_| 1e-7 * size);
    }
}

/// The exponentials of a row relative to the largest, and their sum.
fn powers(row: &[f64]) -> (f64, Vec<f64>, f64) {
    let top = row.iter().fold(f64::NEG_INFINITY, |top, &x| top.max(x));
    let powers: Vec<f64> = row.iter().map(|x| (x - top).exp()).collect();
    let total = powers.iter().sum();
    (top, powers, total)
}

#[test]
fn softmax_is_right_for_scores_of_every_size() {
    let width = 53;
    let mut rows = rows(83, width, 38);
    rows.push((0..width).map(|at| if at % 3 == 0 { f32::NEG_INFINITY } else { 0.1 }).collect());
    rows.push((0..width).map(|at| -(at as f32) * 2.5).collect());
    let flat: Vec<f32> = rows.concat().iter().map(|x| x.min(f32::MAX)).collect();
    let shape = [rows.len(), width];
    let found = softmax::forward(&tensor(&flat, &shape), &Visible::default()).unwrap();
    let mut stream = Key::new(9, Purpose::Sample).stream();
    let grad: Vec<f32> = flat.iter().map(|_| stream.normal() as f32).collect();
    let by_scores = values(&softmax::backward(&found, &tensor(&grad, &shape)).unwrap());
    let found = values(&found);
    for (row, x) in flat.chunks(width).enumerate() {
        let (x, span) = (wide(x), row * width..(row + 1) * width);
        let (top, powers, total) = powers(&x);
        let exact: Vec<f64> = powers.iter().map(|power| power / total).collect();
        // The difference from the greatest is an f32, and so is known to 6e-8 of itself.
        let rounded = |at: usize| 1e-6 + 1.2e-7 * (x[at] - top).abs().min(200.0);
        let what = format!("row {row}");
        assert_close(&what, &found[span.clone()], &exact, |at| rounded(at) * exact[at] + NORMAL);
        let g = wide(&grad[span.clone()]);
        let mean: f64 = exact.iter().zip(&g).map(|(p, g)| p * g).sum();
        let size: f64 = exact.iter().zip(&g).map(|(p, g)| p * g.abs()).sum();
        let expected: Vec<f64> = exact.iter().zip(&g).map(|(p, g)| p * (g - mean)).collect();
        assert_close(&what, &by_scores[span], &expected, |at| {
            exact[at] * (rounded(at) * (g[at].abs() + size) + 2e-5 * size) + 4.0 * NORMAL
        });
    }
}

#[test]
fn the_loss_is_right_for_logits_of_every_size_and_for_sure_ones() {
    let width = 53;
    let mut rows = rows(83, width, 37);
    rows.extend([10.0, 40.0, 80.0].map(|lead| {
        let row = (0..width).map(|at| if at == 0 { lead } else { at as f32 * 0.01 });
        row.collect::<Vec<f32>>()
    }));
    rows.push((0..width).map(|at| 1e6 + (at % 7) as f32).collect());
    for (row, x) in rows.iter().enumerate() {
        let logits = tensor(x, &[1, width]);
        let x = wide(x);
        let (top, powers, total) = powers(&x);
        let others: f64 = powers.iter().sum::<f64>() - 1.0;
        let log = if others < 1e-3 { others.ln_1p() } else { total.ln() };
        for (label, smoothing) in [(0usize, 0.0), (3, 0.0), (0, 0.1), (5, 0.1)] {
            let labels = Tensor::new(&[label as u32], &Device::Cpu).unwrap();
            let targets = Targets { smoothing, ignored: None };
            let (loss, p) = cross_entropy::forward(&logits, &labels, &targets).unwrap();
            let one = Tensor::new(1f32, &Device::Cpu).unwrap();
            let grad = values(&cross_entropy::backward(&p, &labels, &targets, &one).unwrap());
            let below: f64 = x.iter().map(|x| top - x).sum();
            let (n, uniform) = (width as f64, smoothing / width as f64);
            let exact = (1.0 - smoothing) * (log + top - x[label]) + uniform * (n * log + below);
            let what = format!("row {row}, label {label}, smoothing {smoothing}");
            let known = 1e-6 + 1.2e-7 * (top - x.iter().fold(top, |a, &b| a.min(b))).min(100.0);
            assert_close(&what, &values(&loss), &[exact], |_| known * exact + NORMAL);
            let p: Vec<f64> = powers.iter().map(|power| power / total).collect();
            let missed: f64 = (0..width).filter(|&at| at != label).map(|at| p[at]).sum();
            let expected: Vec<f64> = (0..width)
                .map(|at| match at == label {
                    true => smoothing - uniform - missed,
                    false => p[at] - uniform,
                })
                .collect();
            let rounded = |at: usize| 1e-6 + 1.2e-7 * (x[at] - top).abs().min(200.0);
            assert_close(&what, &grad, &expected, |at| {
                let terms = if at == label { missed + smoothing } else { p[at] + uniform };
                let of_others = if at == label { 2e-5 } else { rounded(at) };
                of_others * terms + 60.0 * NORMAL
            });
        }
    }
}

#[test]
fn deviations_are_right_for_inputs_of_every_size() {
    for row in rows(80, 20_000, 37) {
        let x = wide(&row);
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / x.len() as f64;
        let found = dither::deviation(&tensor(&row, &[row.len()])).unwrap();
        assert!((found / variance.sqrt() - 1.0).abs() < 1e-9, "{found:e} {:e}", variance.sqrt());
    }
}
