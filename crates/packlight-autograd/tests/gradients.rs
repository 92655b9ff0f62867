//! Every operation's gradient against central differences in f64, and against candle's own
//! autograd where candle has the same operation.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, sample};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics, Targets, Windows};
use packlight_autograd::{Activation, Ledger, Pass, Result, SavePoint, gradcheck};
use packlight_record::LayerKind;

fn layer(kind: LayerKind) -> Arc<SavePoint> {
    SavePoint::new("layer", kind)
}

/// The sum of the output's products with fixed random numbers.
fn projected(output: &Tensor) -> candle_core::Result<Tensor> {
    (output * sample(output.dims(), "projection"))?.sum_all()
}

fn enter(tensor: &Tensor) -> Result<Activation> {
    Activation::from_tensor(tensor, &Pass::training().with_seed(3, 5))
}

#[test]
fn a_numeric_gradient_that_is_no_number_passes_no_check() {
    // Half a step before 0, to the left of which there are no roots.
    let x = Tensor::new(&[5e-7f64], &Device::Cpu).unwrap();
    let root = |vars: &[Var]| Ok(vars[0].sqrt()?.sum_all()?);
    let error = gradcheck::check(&[x], root).unwrap_err().to_string();
    assert!(error.contains("central differences NaN"), "{error}");
}

/// The same operation in candle alone.
type Theirs<'a> = &'a dyn Fn(&[Var]) -> candle_core::Result<Tensor>;

/// Checks `ours` against central differences, and against candle's autograd of `theirs`.
fn check(
    inputs: &[Tensor],
    ours: impl Fn(&Activation, &[Var]) -> Result<Activation>,
    theirs: Option<Theirs<'_>>,
) {
    check_within(1e-11, inputs, ours, theirs);
}

/// The same, with this share of the largest between our gradients and candle's.
fn check_within(
    allowed: f64,
    inputs: &[Tensor],
    ours: impl Fn(&Activation, &[Var]) -> Result<Activation>,
    theirs: Option<Theirs<'_>>,
) {
    let run = |vars: &[Var]| Ok(projected(&ours(&enter(&vars[0])?, vars)?.into_tensor()?)?);
    gradcheck::check(inputs, run).unwrap();
    let Some(theirs) = theirs else { return };
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let own = run(&vars).unwrap().backward().unwrap();
    let candle = projected(&theirs(&vars).unwrap()).unwrap().backward().unwrap();
    for (number, var) in vars.iter().enumerate() {
        println!("input {number}");
        assert_close(own.get(var).unwrap(), candle.get(var).unwrap(), allowed);
    }
}

#[test]
fn conv2d() {
    let plain = Conv2dGeometry::default();
    for (input, weight, geometry) in [
        ([2, 3, 5, 6], [4, 3, 3, 3], Conv2dGeometry { padding: (1, 1), ..plain }),
        ([2, 2, 7, 7], [3, 2, 3, 3], Conv2dGeometry { stride: (2, 2), padding: (1, 1), ..plain }),
        ([1, 4, 6, 6], [4, 2, 1, 1], Conv2dGeometry { stride: (2, 2), groups: 2, ..plain }),
        (
            [2, 3, 7, 7],
            [3, 1, 3, 3],
            Conv2dGeometry { padding: (2, 2), dilation: (2, 2), groups: 3, ..plain },
        ),
        (
            [2, 4, 9, 9],
            [4, 1, 5, 5],
            Conv2dGeometry { stride: (2, 2), padding: (2, 2), groups: 4, ..plain },
        ),
    ] {
        check(
            &[sample(&input, "x"), sample(&weight, "w"), sample(&[weight[0]], "b")],
            |x, vars| op::conv2d(x, &vars[1], Some(&vars[2]), geometry, &layer(LayerKind::Conv)),
            Some(&|vars: &[Var]| {
                let g = &geometry;
                let y =
                    vars[0].conv2d(&vars[1], g.padding.0, g.stride.0, g.dilation.0, g.groups)?;
                y.broadcast_add(&vars[2].reshape((1, (), 1, 1))?)
            }),
        );
    }
    let uneven = Conv2dGeometry { stride: (1, 2), padding: (0, 3), dilation: (2, 1), groups: 1 };
    check(
        &[sample(&[1, 2, 6, 5], "x"), sample(&[2, 2, 2, 3], "w")],
        |x, vars| op::conv2d(x, &vars[1], None, uneven, &layer(LayerKind::Conv)),
        None,
    );
}

#[test]
fn linear_with_any_leading_axes() {
    for leading in [vec![3], vec![2, 3], vec![2, 1, 3]] {
        let shape = [&leading[..], &[5]].concat();
        check(
            &[sample(&shape, "x"), sample(&[4, 5], "w"), sample(&[4], "b")],
            |x, vars| op::linear(x, &vars[1], Some(&vars[2]), &layer(LayerKind::Linear)),
            Some(&|vars: &[Var]| vars[0].broadcast_matmul(&vars[1].t()?)?.broadcast_add(&vars[2])),
        );
        check(
            &[sample(&shape, "x"), sample(&[5, 4], "w"), sample(&[4], "b")],
            |x, vars| op::linear_transposed(x, &vars[1], Some(&vars[2]), &layer(LayerKind::Linear)),
            Some(&|vars: &[Var]| vars[0].broadcast_matmul(&vars[1])?.broadcast_add(&vars[2])),
        );
    }
}

fn running(channels: usize) -> RunningStatistics {
    let zeros = Tensor::zeros(channels, DType::F64, &Device::Cpu).unwrap();
    let ones = zeros.ones_like().unwrap();
    RunningStatistics {
        mean: Var::from_tensor(&zeros).unwrap(),
        variance: Var::from_tensor(&ones).unwrap(),
        momentum: 0.1,
    }
}

#[test]
fn batch_norm() {
    for shape in [vec![3, 2, 3, 2], vec![5, 3]] {
        let c = shape[1];
        let statistics = running(c);
        check(
            &[sample(&shape, "x"), sample(&[c], "w"), sample(&[c], "b")],
            |x, vars| {
                op::batch_norm(x, &vars[1], &vars[2], &statistics, 1e-5, &layer(LayerKind::Norm))
            },
            Some(&|vars: &[Var]| {
                let axes: Vec<usize> = (0..shape.len()).filter(|&axis| axis != 1).collect();
                let per_channel = |t: &Tensor| {
                    let mut dims = vec![1; shape.len()];
                    dims[1] = c;
                    t.reshape(dims)
                };
                let centered = vars[0].broadcast_sub(&vars[0].mean_keepdim(axes.clone())?)?;
                let variance = centered.sqr()?.mean_keepdim(axes)?;
                centered
                    .broadcast_div(&(variance + 1e-5)?.sqrt()?)?
                    .broadcast_mul(&per_channel(&vars[1])?)?
                    .broadcast_add(&per_channel(&vars[2])?)
            }),
        );
    }
}

#[test]
fn frozen_batch_norm() {
    let frozen = layer(LayerKind::Norm);
    frozen.freeze(true);
    let running = op::RunningStatistics {
        mean: Var::from_tensor(&sample(&[3], "mean")).unwrap(),
        variance: Var::ones(3, DType::F64, &Device::Cpu).unwrap(),
        momentum: 0.1,
    };
    let (weight, bias) = (sample(&[3], "weight"), sample(&[3], "bias"));
    check(
        &[sample(&[2, 3, 4, 4], "x")],
        |x, _| op::batch_norm(x, &weight, &bias, &running, 1e-5, &frozen),
        None,
    );
    frozen.freeze_all_but_bias();
    check(
        &[sample(&[2, 3, 4, 4], "x"), bias],
        |x, vars| op::batch_norm(x, &weight, &vars[1], &running, 1e-5, &frozen),
        None,
    );
}

/// Of an input that has no gradient itself, nothing is kept.
#[test]
fn the_bias_alone_has_its_gradient_and_nothing_is_kept() {
    let (x, weight, bias) = (sample(&[2, 3], "x"), sample(&[3, 3], "weight"), sample(&[3], "bias"));
    let (weight, bias) = (Var::from_tensor(&weight).unwrap(), Var::from_tensor(&bias).unwrap());
    let statistics = running(3);
    let scale = weight.get(0).unwrap();
    let norm = layer(LayerKind::Norm);
    type Forward<'a> = &'a dyn Fn(&Activation) -> Result<Activation>;
    let forward: [Forward<'_>; 3] = [
        &|x| op::linear(x, &weight, Some(&bias), &norm),
        &|x| op::layer_norm(x, &scale, &bias, 1e-6, &norm),
        &|x| op::batch_norm(x, &scale, &bias, &statistics, 1e-5, &norm),
    ];
    norm.freeze_all_but_bias();
    for forward in forward {
        let ledger = Ledger::new();
        let x = Activation::from_tensor(&x, &Pass::training().with_ledger(&ledger)).unwrap();
        let y = forward(&x).unwrap().into_tensor().unwrap();
        let factors = Tensor::new(&[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]], &Device::Cpu).unwrap();
        let store = (y * factors).unwrap().sum_all().unwrap().backward().unwrap();
        let by_bias = store.get(&bias).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(by_bias, [11.0, 22.0, 33.0]);
        assert!(store.get(&weight).is_none());
        assert!(ledger.entries().is_empty());
    }
}

#[test]
fn batch_norm_keeps_running_statistics_as_pytorch_does() {
    let statistics = running(1);
    let x = Tensor::new(&[[1f64], [2.], [3.], [6.]], &Device::Cpu).unwrap();
    let (w, b) = (sample(&[1], "w"), sample(&[1], "b"));
    let norm = |pass: &Pass| {
        let x = Activation::from_tensor(&x, pass).unwrap();
        op::batch_norm(&x, &w, &b, &statistics, 0.0, &layer(LayerKind::Norm)).unwrap()
    };
    norm(&Pass::training().freeze_statistics());
    assert_eq!(statistics.mean.to_vec1::<f64>().unwrap(), [0.0]);
    norm(&Pass::training());
    // Mean 3, unbiased variance 14 / 3; a tenth of each.
    let close =
        |var: &Var, expected: f64| (var.to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-12;
    assert!(close(&statistics.mean, 0.3) && close(&statistics.variance, 0.9 + 1.4 / 3.0));
    let y = norm(&Pass::evaluation()).into_tensor().unwrap().flatten_all().unwrap();
    let (w, b) = (w.to_vec1::<f64>().unwrap()[0], b.to_vec1::<f64>().unwrap()[0]);
    let expected = (1.0 - 0.3) / (0.9f64 + 1.4 / 3.0).sqrt() * w + b;
    assert!((y.to_vec1::<f64>().unwrap()[0] - expected).abs() < 1e-12);
}

#[test]
fn batch_norm_refuses_one_value_a_channel_in_training_alone() {
    for shape in [vec![1, 3], vec![1, 3, 1, 1]] {
        let (x, statistics) = (sample(&shape, "x"), running(3));
        let (w, b) = (sample(&[3], "w"), sample(&[3], "b"));
        let norm = |pass: &Pass, layer: &Arc<SavePoint>| {
            let x = Activation::from_tensor(&x, pass)?;
            op::batch_norm(&x, &w, &b, &statistics, 1e-5, layer)
        };
        let named = SavePoint::new("layer4.1.bn2", LayerKind::Norm);
        for pass in [Pass::training(), Pass::training().freeze_statistics()] {
            let error = norm(&pass, &named).err().unwrap().to_string();
            for part in ["`layer4.1.bn2`", &format!("{shape:?}"), "larger batch"] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert_eq!(statistics.variance.to_vec1::<f64>().unwrap(), [1.0; 3]);
        norm(&Pass::evaluation(), &named).unwrap();
        named.freeze(true);
        norm(&Pass::training(), &named).unwrap();
    }
}

#[test]
fn a_variance_that_no_running_one_can_hold_is_an_error() {
    let values: Vec<f32> = (0..8).map(|at| at as f32 * 1e20).collect();
    let x = Tensor::from_vec(values, (8, 1), &Device::Cpu).unwrap();
    let of = |value: f32| Var::new(&[value], &Device::Cpu).unwrap();
    let statistics = RunningStatistics { mean: of(0.0), variance: of(1.0), momentum: 0.1 };
    let norm = |pass: &Pass| {
        let x = Activation::from_tensor(&x, pass)?;
        op::batch_norm(&x, &of(1.0), &of(0.0), &statistics, 1e-5, &layer(LayerKind::Norm))
    };
    let error = norm(&Pass::training()).err().unwrap().to_string();
    assert!(error.contains("`layer`") && error.contains("variance"), "{error}");
    // The batch's own statistics are right all the same.
    let y = norm(&Pass::training().freeze_statistics()).unwrap();
    let y = y.data().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let deviation = 5.25f32.sqrt();
    assert!(y.iter().enumerate().all(|(at, y)| (y - (at as f32 - 3.5) / deviation).abs() < 1e-6));
}

#[test]
fn layer_norm() {
    check(
        &[sample(&[2, 3, 5], "x"), sample(&[5], "w"), sample(&[5], "b")],
        |x, vars| op::layer_norm(x, &vars[1], &vars[2], 1e-6, &layer(LayerKind::Norm)),
        Some(&|vars: &[Var]| {
            let centered = vars[0].broadcast_sub(&vars[0].mean_keepdim(2)?)?;
            let variance = centered.sqr()?.mean_keepdim(2)?;
            let normal = centered.broadcast_div(&(variance + 1e-6)?.sqrt()?)?;
            normal.broadcast_mul(&vars[1])?.broadcast_add(&vars[2])
        }),
    );
}

#[test]
fn relu() {
    check(
        &[sample(&[3, 7], "x")],
        |x, _| op::relu(x, &layer(LayerKind::Relu)),
        Some(&|vars: &[Var]| vars[0].relu()),
    );
}

#[test]
fn relu6() {
    check(
        &[(sample(&[3, 7], "x") * 9.0).unwrap()],
        |x, _| op::relu6(x, &layer(LayerKind::Relu)),
        Some(&|vars: &[Var]| vars[0].clamp(0.0, 6.0)),
    );
}

#[test]
fn sigmoid() {
    check(
        &[(sample(&[3, 7], "x") * 3.0).unwrap()],
        |x, _| op::sigmoid(x, &layer(LayerKind::Attention)),
        Some(&|vars: &[Var]| {
            let decay = vars[0].neg()?.exp()?;
            (decay + 1.0)?.recip()
        }),
    );
}

#[test]
fn tanh() {
    check(
        &[(sample(&[3, 7], "x") * 3.0).unwrap()],
        |x, _| op::tanh(x, &layer(LayerKind::Activation)),
        Some(&|vars: &[Var]| vars[0].tanh()),
    );
}

#[test]
fn pad() {
    for (axis, behind) in [(0, 2), (1, 1), (2, 3), (1, 0)] {
        check(
            &[sample(&[2, 3, 4], "x")],
            |x, _| op::pad(x, axis, behind),
            Some(&|vars: &[Var]| vars[0].pad_with_zeros(axis, 0, behind)),
        );
    }
    assert!(op::pad(&enter(&sample(&[2, 3], "x")).unwrap(), 2, 1).is_err());
}

#[test]
fn roll() {
    for (axis, by) in [(0, 1), (1, 2), (2, 5), (2, 0)] {
        check(
            &[sample(&[2, 3, 4], "x")],
            |x, _| op::roll(x, axis, by),
            Some(&|vars: &[Var]| vars[0].roll(by as i32, axis)),
        );
    }
    assert!(op::roll(&enter(&sample(&[2, 3], "x")).unwrap(), 2, 1).is_err());
}

#[test]
fn relative_bias() {
    let index = Tensor::new(&[[0u32, 3], [3, 1], [4, 0]], &Device::Cpu).unwrap();
    let mask = (sample(&[2, 3, 2], "mask") * 5.0).unwrap();
    check(
        &[sample(&[4, 3, 3, 2], "x"), sample(&[5, 3], "table")],
        |x, vars| op::relative_bias(x, &vars[1], &index, &mask),
        Some(&|vars: &[Var]| {
            let bias = vars[1].index_select(&index.flatten_all()?, 0)?.reshape((3, 2, 3))?;
            let bias = bias.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?;
            let windows = Tensor::cat(&[&mask, &mask], 0)?.unsqueeze(1)?;
            vars[0].broadcast_add(&bias)?.broadcast_add(&windows)
        }),
    );
    let x = enter(&sample(&[4, 3, 3, 2], "x")).unwrap();
    let of = |shape: &[usize]| sample(shape, "other");
    for (table, mask) in [([5, 2], [2, 3, 2]), ([5, 3], [3, 3, 2]), ([5, 3], [2, 2, 3])] {
        assert!(op::relative_bias(&x, &of(&table), &index, &of(&mask)).is_err());
    }
}

#[test]
fn gate() {
    let saver = || layer(LayerKind::Attention);
    for gates in [&[2, 3][..], &[2, 3, 1, 1]] {
        check(
            &[sample(&[2, 3, 4, 5], "x"), sample(gates, "gate")],
            |x, vars| {
                op::gate(x, &Activation::from_tensor(&vars[1], x.pass())?, &saver(), &saver())
            },
            Some(&|vars: &[Var]| vars[0].broadcast_mul(&vars[1].reshape((2, 3, 1, 1))?)),
        );
    }
    // Both of one activation: the images and their means.
    check(
        &[sample(&[2, 3, 4, 5], "x")],
        |x, _| op::gate(x, &op::global_avg_pool2d(x)?, &saver(), &saver()),
        Some(&|vars: &[Var]| vars[0].broadcast_mul(&vars[0].mean_keepdim(3)?.mean_keepdim(2)?)),
    );
    let x = enter(&sample(&[2, 3, 4, 5], "x")).unwrap();
    let misfit = enter(&sample(&[2, 4], "gate")).unwrap();
    let error = op::gate(&x, &misfit, &saver(), &saver()).err().unwrap().to_string();
    assert!(error.contains("gates (N,C) expected"), "{error}");
}

#[test]
fn stochastic_depth() {
    let input = sample(&[40, 2, 3], "x");
    let drop = |x: &Activation| op::stochastic_depth(x, 0.3, &layer(LayerKind::Dropout));
    check(std::slice::from_ref(&input), |x, _| drop(x), None);
    let y = drop(&enter(&input).unwrap()).unwrap();
    assert_eq!(
        y.data().flatten_all().unwrap().to_vec1::<f64>().unwrap(),
        drop(&enter(&input).unwrap())
            .unwrap()
            .data()
            .flatten_all()
            .unwrap()
            .to_vec1::<f64>()
            .unwrap(),
    );
    let (x, y) = (input.flatten_all().unwrap(), y.data().flatten_all().unwrap());
    let (x, y) = (x.to_vec1::<f64>().unwrap(), y.to_vec1::<f64>().unwrap());
    let factors: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y / x).collect();
    for factors in factors.chunks(6) {
        assert!(factors.iter().all(|factor| (factor - factors[0]).abs() < 1e-12), "whole samples");
        assert!(factors[0] == 0.0 || (factors[0] - 1.0 / 0.7).abs() < 1e-12);
    }
    let dropped = factors.chunks(6).filter(|factors| factors[0] == 0.0).count();
    assert!((4..=22).contains(&dropped), "{dropped} of 40");
    let evaluated = Activation::from_tensor(&input, &Pass::evaluation()).unwrap();
    assert_eq!(drop(&evaluated).unwrap().data().id(), evaluated.data().id());
    assert!(
        op::stochastic_depth(&enter(&input).unwrap(), 1.0, &layer(LayerKind::Dropout)).is_err()
    );
}

#[test]
fn gelu() {
    // Candle's derivative has six digits of 1 / sqrt(2 pi).
    check_within(
        2e-6,
        &[sample(&[3, 7], "x")],
        |x, _| op::gelu(x, &layer(LayerKind::Activation)),
        Some(&|vars: &[Var]| vars[0].gelu_erf()),
    );
}

#[test]
fn gelu_tanh() {
    // Candle's derivative has four digits of its constants.
    check_within(
        1e-3,
        &[sample(&[3, 7], "x")],
        |x, _| op::gelu_tanh(x, &layer(LayerKind::Activation)),
        Some(&|vars: &[Var]| vars[0].gelu()),
    );
}

#[test]
fn silu() {
    check(
        &[sample(&[3, 7], "x")],
        |x, _| op::silu(x, &layer(LayerKind::Activation)),
        Some(&|vars: &[Var]| vars[0].silu()),
    );
}

#[test]
fn max_pool2d() {
    let kind = LayerKind::Pool;
    let windows = Windows { kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
    check(
        &[sample(&[2, 2, 4, 6], "x")],
        |x, _| op::max_pool2d(x, windows, &layer(kind)),
        // The gradient of candle's own max-pool (0.11) is too small by the size of the window.
        Some(&|vars: &[Var]| vars[0].reshape((2, 2, 2, 2, 3, 2))?.max(5)?.max(3)),
    );
    let overlapping = Windows { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    check(&[sample(&[2, 2, 7, 6], "x")], |x, _| op::max_pool2d(x, overlapping, &layer(kind)), None);
    let large = Windows { kernel: (17, 17), stride: (1, 1), padding: (0, 0) };
    check(&[sample(&[1, 1, 18, 17], "x")], |x, _| op::max_pool2d(x, large, &layer(kind)), None);
}

#[test]
fn average_pools() {
    check(
        &[sample(&[2, 2, 4, 6], "x")],
        |x, _| op::avg_pool2d(x, (2, 2), (2, 2)),
        Some(&|vars: &[Var]| vars[0].avg_pool2d(2)),
    );
    check(&[sample(&[1, 2, 5, 6], "x")], |x, _| op::avg_pool2d(x, (3, 2), (1, 2)), None);
    check(
        &[sample(&[2, 3, 4, 5], "x")],
        |x, _| op::global_avg_pool2d(x),
        Some(&|vars: &[Var]| vars[0].mean((2, 3))),
    );
}

#[test]
fn an_activation_used_three_times_gets_the_sum_of_its_gradients() {
    check(
        &[sample(&[2, 3], "x"), sample(&[3, 3], "w")],
        |x, vars| {
            let y = op::linear(x, &vars[1], None, &layer(LayerKind::Linear))?;
            op::add(&op::add(&y, x)?, &op::relu(x, &layer(LayerKind::Relu))?)
        },
        Some(&|vars: &[Var]| {
            (vars[0].matmul(&vars[1].t()?)? + vars[0].as_tensor())? + vars[0].relu()?
        }),
    );
    // The sum of an activation with itself: the shared gradient must not be added to in place.
    check(
        &[sample(&[2, 3], "x")],
        |x, _| op::add(&op::add(x, x)?, x),
        Some(&|vars: &[Var]| vars[0].as_tensor() * 3.0),
    );
}

#[test]
fn dropout() {
    check(&[sample(&[4, 5], "x")], |x, _| op::dropout(x, 0.4, &layer(LayerKind::Dropout)), None);
}

#[test]
fn shapes_and_shortcuts() {
    check(
        &[sample(&[2, 3, 4], "x")],
        |x, _| op::reshape(&op::flatten(x)?, &[4, 6]),
        Some(&|vars: &[Var]| vars[0].reshape((4, 6))),
    );
    check(
        &[sample(&[2, 3, 5, 4], "x")],
        |x, _| op::subsample_pad(x, 2, 7),
        Some(&|vars: &[Var]| {
            let rows = Tensor::new(&[0u32, 2, 4], &Device::Cpu)?;
            let columns = Tensor::new(&[0u32, 2], &Device::Cpu)?;
            vars[0].index_select(&rows, 2)?.index_select(&columns, 3)?.pad_with_zeros(1, 2, 2)
        }),
    );
}

#[test]
fn softmax_cross_entropy() {
    for labels in [
        Tensor::new(&[1u32, 0, 3], &Device::Cpu).unwrap(),
        Tensor::new(&[1i64, 0, 3], &Device::Cpu).unwrap(),
    ] {
        check(
            &[sample(&[3, 4], "x")],
            |x, _| {
                op::softmax_cross_entropy(x, &labels, Targets::default(), &layer(LayerKind::Loss))
            },
            Some(&|vars: &[Var]| {
                let logs = (vars[0].broadcast_sub(&vars[0].exp()?.sum_keepdim(1)?.log()?))?;
                let labels = labels.to_dtype(DType::U32)?.unsqueeze(1)?;
                logs.gather(&labels, 1)?.mean_all()?.neg()
            }),
        );
    }
}

#[test]
fn smoothed_cross_entropy_of_labels_that_count() {
    let labels = Tensor::new(&[[1u32, 0], [3, 2]], &Device::Cpu).unwrap();
    let targets = Targets { smoothing: 0.2, ignored: Some(0) };
    check(
        &[sample(&[2, 2, 4], "x")],
        |x, _| op::softmax_cross_entropy(x, &labels, targets, &layer(LayerKind::Loss)),
        Some(&|vars: &[Var]| {
            let x = vars[0].reshape((4, 4))?;
            let logs = x.broadcast_sub(&x.exp()?.sum_keepdim(1)?.log()?)?;
            // Each class gets 0.2 / 4, the label 0.8 on top.
            let mut wanted = vec![0.05; 16];
            wanted[4..8].fill(0.0);
            [1, 11, 14].into_iter().for_each(|place| wanted[place] += 0.8);
            let wanted = Tensor::from_vec(wanted, (4, 4), &Device::Cpu)?;
            (logs * wanted)?.sum_all()? / -3.0
        }),
    );
}

#[test]
fn a_wrong_gradient_is_found() {
    let error = gradcheck::check(&[sample(&[2, 2], "x")], |vars| {
        // The detached factor hides half of the derivative.
        Ok((vars[0].as_tensor() * vars[0].detach())?.sum_all()?)
    });
    assert!(error.unwrap_err().to_string().contains("element 0"));
}

#[test]
fn two_backward_passes_over_equal_graphs_give_the_same_bits() {
    let x = sample(&[4, 8, 12, 12], "x").to_dtype(DType::F32).unwrap();
    let w = Var::from_tensor(&sample(&[8, 8, 3, 3], "w").to_dtype(DType::F32).unwrap()).unwrap();
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    let run = || {
        let y =
            op::conv2d(&enter(&x).unwrap(), &w, None, geometry, &layer(LayerKind::Conv)).unwrap();
        let grads = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        grads.get(&w).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(run(), run());
}
