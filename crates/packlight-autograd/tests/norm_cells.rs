//! What norms that pack cells give back at any weight and bias, against sums written out in f64.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::op::{self, RunningStatistics};
use packlight_autograd::{Activation, Ledger, Pass, SavePoint};
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::LayerKind;

/// Tokens or samples, channels or features, and outputs of the linear layer behind.
const ROWS: usize = 8;
const WIDTH: usize = 12;
const OUTPUTS: usize = 3;
const EPSILON: f64 = 1e-5;

/// Weights of 0, near it and of either sign, beside biases of which some put 0 out of reach.
const WEIGHTS: [f64; WIDTH] =
    [0.0, 0.0, 0.0, 1e-7, -1e-7, 1e-30, -1e-30, 1e-30, 0.8, -1.3, 0.2, -0.3];
const BIASES: [f64; WIDTH] = [0.5, -0.5, 0.0, 0.3, 0.0, 0.7, -0.2, 0.0, 0.1, 0.4, 2.0, -1.5];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Norm {
    Batch,
    Layer,
}

fn sample(count: usize, name: &str, dtype: DType) -> Vec<f64> {
    let mut stream = Key::new(5, Purpose::Sample).layer(name).stream();
    let values = (0..count).map(|_| stream.normal() + 0.3);
    // What an f32 tensor holds of them.
    values.map(|x| if dtype == DType::F32 { f64::from(x as f32) } else { x }).collect()
}

/// A gradient: of the input, weight, bias or matrix; and for each entry the sum of the magnitudes
/// of the terms that make it up, to which rounding is relative.
struct Exact {
    values: Vec<f64>,
    sizes: Vec<f64>,
}

/// All values of a step through norm, ReLU and linear layer, whose outputs have the gradient `r`.
struct Case {
    norm: Norm,
    dtype: DType,
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    matrix: Vec<f64>,
    r: Vec<f64>,
}

impl Case {
    fn new(norm: Norm, dtype: DType) -> Self {
        let held = |values: [f64; WIDTH]| -> Vec<f64> {
            let single = |x| if dtype == DType::F32 { f64::from(x as f32) } else { x };
            values.map(single).to_vec()
        };
        Self {
            norm,
            dtype,
            x: sample(ROWS * WIDTH, "x", dtype),
            weight: held(WEIGHTS),
            bias: held(BIASES),
            matrix: sample(OUTPUTS * WIDTH, "matrix", dtype),
            r: sample(ROWS * OUTPUTS, "r", dtype),
        }
    }

    /// Mean and deviation of what each element is normalised with.
    fn statistics(&self) -> Vec<(f64, f64)> {
        let along = |at: usize| -> Vec<f64> {
            match self.norm {
                Norm::Batch => (0..ROWS).map(|row| self.x[row * WIDTH + at % WIDTH]).collect(),
                Norm::Layer => self.x[at / WIDTH * WIDTH..][..WIDTH].to_vec(),
            }
        };
        let of = |values: Vec<f64>| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            (mean, (variance + EPSILON).sqrt())
        };
        (0..ROWS * WIDTH).map(|at| of(along(at))).collect()
    }

    fn normalised(&self) -> Vec<f64> {
        let pairs = self.x.iter().zip(self.statistics());
        pairs.map(|(x, (mean, deviation))| (x - mean) / deviation).collect()
    }

    fn outputs(&self) -> Vec<f64> {
        let of = |(at, x): (usize, f64)| self.weight[at % WIDTH] * x + self.bias[at % WIDTH];
        self.normalised().into_iter().enumerate().map(of).collect()
    }

    /// The gradient of the norm's output.
    fn output_grad(&self) -> Vec<f64> {
        let of = |(at, y): (usize, f64)| {
            let (row, feature) = (at / WIDTH, at % WIDTH);
            let terms =
                (0..OUTPUTS).map(|o| self.r[row * OUTPUTS + o] * self.matrix[o * WIDTH + feature]);
            if y > 0.0 { terms.sum() } else { 0.0 }
        };
        self.outputs().into_iter().enumerate().map(of).collect()
    }

    /// Sums over the rows of each feature.
    fn by_feature(&self, of: impl Fn(usize) -> f64) -> Exact {
        let sum = |f: &dyn Fn(f64) -> f64| {
            let feature = |feature| (0..ROWS).map(|row| f(of(row * WIDTH + feature))).sum();
            (0..WIDTH).map(feature).collect()
        };
        Exact { values: sum(&|x| x), sizes: sum(&f64::abs) }
    }

    /// The gradients of input, weight, bias and matrix.
    fn exact(&self) -> [Exact; 4] {
        let (normalised, grad, statistics) =
            (self.normalised(), self.output_grad(), self.statistics());
        let scaled: Vec<f64> =
            grad.iter().enumerate().map(|(at, g)| g * self.weight[at % WIDTH]).collect();
        let by_input = |at: usize| {
            let along: Vec<usize> = match self.norm {
                Norm::Batch => (0..ROWS).map(|row| row * WIDTH + at % WIDTH).collect(),
                Norm::Layer => (at / WIDTH * WIDTH..(at / WIDTH + 1) * WIDTH).collect(),
            };
            let n = along.len() as f64;
            let offset = along.iter().map(|&i| scaled[i]).sum::<f64>() / n;
            let slope = along.iter().map(|&i| scaled[i] * normalised[i]).sum::<f64>() / n;
            let size = along.iter().map(|&i| scaled[i].abs() * (1.0 + normalised[i].abs()));
            let deviation = statistics[at].1;
            let value = (scaled[at] - offset - normalised[at] * slope) / deviation;
            (value, size.sum::<f64>() / deviation)
        };
        let (values, sizes) = (0..ROWS * WIDTH).map(by_input).unzip();
        let outputs = self.outputs();
        let by_matrix = |at: usize, f: &dyn Fn(f64) -> f64| -> f64 {
            let term = |row: usize| {
                outputs[row * WIDTH + at % WIDTH].max(0.0) * self.r[row * OUTPUTS + at / WIDTH]
            };
            (0..ROWS).map(|row| f(term(row))).sum()
        };
        let all = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
            (0..OUTPUTS * WIDTH).map(|at| by_matrix(at, f)).collect()
        };
        [
            Exact { values, sizes },
            self.by_feature(|at| grad[at] * normalised[at]),
            self.by_feature(|at| grad[at]),
            Exact { values: all(&|x| x), sizes: all(&f64::abs) },
        ]
    }

    /// The output, the gradients as [`Case::exact`] has them and the bytes kept, with a codec.
    fn step(&self, codec: &str) -> (Vec<f64>, [Vec<f64>; 4], usize) {
        let tensor = |values: &[f64], shape: &[usize]| {
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
            tensor.to_dtype(self.dtype).unwrap()
        };
        let var =
            |values: &[f64], shape: &[usize]| Var::from_tensor(&tensor(values, shape)).unwrap();
        let layer = |name: &str, kind| -> Arc<SavePoint> {
            let layer = SavePoint::new(name, kind);
            layer.set_codec(packlight_codec::parse(codec).unwrap());
            layer
        };
        let vars = [
            var(&self.x, &[ROWS, WIDTH]),
            var(&self.weight, &[WIDTH]),
            var(&self.bias, &[WIDTH]),
            var(&self.matrix, &[OUTPUTS, WIDTH]),
        ];
        let [x, weight, bias, matrix] = &vars;
        let ledger = Ledger::new();
        let x = Activation::from_tensor(x, &Pass::training().with_ledger(&ledger)).unwrap();
        let norm = layer("norm", LayerKind::Norm);
        let y = match self.norm {
            Norm::Batch => {
                let one = || Var::ones(WIDTH, self.dtype, &Device::Cpu).unwrap();
                let running = RunningStatistics { mean: one(), variance: one(), momentum: 0.1 };
                op::batch_norm(&x, weight, bias, &running, EPSILON, &norm)
            }
            Norm::Layer => op::layer_norm(&x, weight, bias, EPSILON, &norm),
        };
        let y = op::relu(y.unwrap(), &layer("relu", LayerKind::Relu)).unwrap();
        let y = op::linear(&y, matrix, None, &layer("fc", LayerKind::Linear)).unwrap();
        let kept = ledger.entries().iter().map(|entry| entry.bytes.total()).sum();
        let y = y.into_tensor().unwrap();
        let loss = (&y * tensor(&self.r, &[ROWS, OUTPUTS])).unwrap().sum_all().unwrap();
        let store = loss.backward().unwrap();
        let values = |tensor: &Tensor| -> Vec<f64> {
            tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        (values(&y), vars.each_ref().map(|var| values(store.get(var).unwrap())), kept)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    [Norm::Batch, Norm::Layer]
        .into_iter()
        .flat_map(|norm| [DType::F32, DType::F64].map(|dtype| Case::new(norm, dtype)))
}

const NAMES: [&str; 4] = ["input", "weight", "bias", "matrix"];

#[test]
fn memory_sharing_norms_are_exact_at_any_weight() {
    for case in cases() {
        let rounding = if case.dtype == DType::F32 { 1e-5 } else { 1e-13 };
        let (output, found, kept) = case.step("msnorm");
        for ((name, found), exact) in NAMES.into_iter().zip(found).zip(case.exact()) {
            assert_eq!((found.len(), exact.sizes.len()), (exact.values.len(), found.len()));
            for (at, found) in found.into_iter().enumerate() {
                let (value, size) = (exact.values[at], exact.sizes[at]);
                assert!(
                    (found - value).abs() <= rounding * size,
                    "{:?} {:?}, {name} {at}: {found} for {value}",
                    case.norm,
                    case.dtype
                );
            }
        }
        // The gradient of a weight of 0 is one.
        assert!(case.exact()[1].values[0].abs() > 0.1);
        let (exact_output, _, whole) = case.step("none");
        assert_eq!(output, exact_output, "the forward pass does not change");
        let element = case.dtype.size_in_bytes();
        let statistics = if case.norm == Norm::Batch { WIDTH } else { ROWS };
        assert_eq!(kept, (ROWS * WIDTH + statistics) * element);
        assert_eq!(whole, 2 * (ROWS * WIDTH + statistics) * element + ROWS * WIDTH / 8);
    }
}

#[test]
fn approximate_cells_are_within_half_a_step_at_any_weight() {
    for case in cases() {
        let exact = case.exact();
        let (normalised, grad) = (case.normalised(), case.output_grad());
        // Nothing lies beyond the range, so that half a step is all that a value is off.
        let range = if case.norm == Norm::Batch { 2.7 } else { 3.0 };
        for bits in [4, 8] {
            let half = 3.0 / f64::from((1u16 << bits) - 1);
            let clipped = |x: f64| half * 1.0001 + (x.abs() + 2.0 * half - 3.0).max(0.0);
            let (_, found, _) = case.step(&format!("blpa:{bits}"));
            for (name, found) in NAMES.into_iter().zip(&found) {
                assert!(found.iter().all(|x| x.is_finite()), "{name}");
            }
            let [by_input, by_weight, by_bias, by_matrix] = found;
            let case_name = format!("{:?} {:?} {bits}", case.norm, case.dtype);
            let off =
                |found: &[f64], exact: &Exact, at: usize| (found[at] - exact.values[at]).abs();
            for feature in 0..WIDTH {
                let rows = || (0..ROWS).map(|row| row * WIDTH + feature);
                // The gradient of the bias sums what the mask lets through, which is exact.
                let rounding = 1e-5 * exact[2].sizes[feature];
                assert!(off(&by_bias, &exact[2], feature) <= rounding, "{case_name}, {feature}");
                let allowed: f64 = rows().map(|i| grad[i].abs() * clipped(normalised[i])).sum();
                let by_weight = off(&by_weight, &exact[1], feature);
                assert!(by_weight <= 1.001 * allowed + rounding, "{case_name}, {feature}");
                for output in 0..OUTPUTS {
                    let at = output * WIDTH + feature;
                    let allowed: f64 = (0..ROWS)
                        .map(|row| {
                            let value = clipped(normalised[row * WIDTH + feature]);
                            case.r[row * OUTPUTS + output].abs() * value
                        })
                        .sum();
                    let allowed = case.weight[feature].abs() * allowed;
                    let rounding = 1e-5 * exact[3].sizes[at];
                    let off = off(&by_matrix, &exact[3], at);
                    assert!(off <= 1.001 * allowed + rounding, "{case_name}, {at}: {off}");
                }
            }
            for (at, size) in exact[0].sizes.iter().enumerate() {
                // Both the value and the mean product may be off.
                let allowed = (4.0 * half * range + 1e-5) * size;
                let off = off(&by_input, &exact[0], at);
                assert!(off <= allowed, "{case_name}, {at}: {off}");
            }
        }
    }
}
