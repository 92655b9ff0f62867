//! One packed tensor for a norm, the ReLU behind it and the convolution behind that.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics};
use packlight_autograd::{Activation, Ledger, Pass, SavePoint};
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::{KeptKind, LayerKind};

fn var(shape: &[usize], name: &str) -> Var {
    let mut stream = Key::new(2, Purpose::Sample).layer(name).stream();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// conv, norm, ReLU, conv.
struct Cell {
    layers: [Arc<SavePoint>; 4],
    /// Of the first conv, of the norm, its bias, of the second conv.
    vars: [Var; 4],
    x: Var,
}

impl Cell {
    fn new() -> Self {
        let layer = |name: &str, kind| SavePoint::new(name, kind);
        Self {
            layers: [
                layer("conv1", LayerKind::Conv),
                layer("norm", LayerKind::Norm),
                layer("relu", LayerKind::Relu),
                layer("conv2", LayerKind::Conv),
            ],
            vars: [
                var(&[6, 3, 3, 3], "conv1"),
                var(&[6], "weight"),
                var(&[6], "bias"),
                var(&[4, 6, 3, 3], "conv2"),
            ],
            x: var(&[4, 3, 12, 12], "x"),
        }
    }

    /// The gradients of all parameters and of the input.
    fn gradients(&self, codec: &str, ledger: &Ledger) -> Vec<Vec<f32>> {
        for layer in &self.layers {
            layer.set_codec(packlight_codec::parse(codec).unwrap());
        }
        let [conv1, norm, relu, conv2] = &self.layers;
        let [first, weight, bias, second] = &self.vars;
        let statistic = || Var::zeros(6, DType::F32, &Device::Cpu).unwrap();
        let running = RunningStatistics { mean: statistic(), variance: statistic(), momentum: 0.1 };
        let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        let pass = Pass::training().with_ledger(ledger);
        let x = Activation::from_tensor(&self.x, &pass).unwrap();
        let y = op::conv2d(&x, first, None, geometry, conv1).unwrap();
        let y = op::batch_norm(&y, weight, bias, &running, 1e-5, norm).unwrap();
        let y = op::conv2d(&op::relu(&y, relu).unwrap(), second, None, geometry, conv2).unwrap();
        let loss = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let flat = |var: &Var| grads.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        self.vars.iter().chain([&self.x]).map(flat).collect()
    }
}

fn relative_error(found: &[f32], exact: &[f32]) -> f32 {
    assert_eq!(found.len(), exact.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    norm(&mut found.iter().zip(exact).map(|(f, e)| f - e)) / norm(&mut exact.iter().copied())
}

#[test]
fn a_cell_keeps_one_tensor() {
    let (cell, ledger) = (Cell::new(), Ledger::new());
    cell.gradients("blpa:4", &ledger);
    let entries = ledger.entries();
    let kept: Vec<(&str, usize)> = entries
        .iter()
        .filter(|entry| entry.kind != KeptKind::Statistics && entry.bytes.total() > 0)
        .map(|entry| (&*entry.layer, entry.bytes.payload))
        .collect();
    assert_eq!(kept, [("conv1", 4 * 3 * 144 / 2), ("norm", 4 * 6 * 144 / 2)]);
    assert_eq!(ledger.kept(), 0);
}

#[test]
fn its_gradients_are_near_and_its_mask_is_exact() {
    let cell = Cell::new();
    let exact = cell.gradients("none", &Ledger::new());
    let mut errors = Vec::new();
    for codec in ["blpa:4", "blpa:8"] {
        let found = cell.gradients(codec, &Ledger::new());
        // The gradient of the norm's bias sums what the mask lets through.
        assert_eq!(found[2], exact[2], "{codec}");
        let of = |at: usize| relative_error(&found[at], &exact[at]);
        errors.push([of(0), of(1), of(3), of(4)]);
    }
    assert!(errors[0].iter().all(|&error| error > 0.0 && error < 0.2), "{errors:?}");
    // What lies beyond three deviations is cut off by either.
    assert!(errors[1].iter().zip(errors[0]).all(|(&fine, rough)| fine < 0.4 * rough), "{errors:?}");
}

#[test]
fn without_a_cell_in_front_a_relu_keeps_its_mask() {
    let ledger = Ledger::new();
    let x =
        Activation::from_tensor(&var(&[2, 3, 4, 4], "x"), &Pass::training().with_ledger(&ledger));
    let relu = SavePoint::new("relu", LayerKind::Relu);
    relu.set_codec(packlight_codec::parse("blpa:4").unwrap());
    let _y = op::relu(x.unwrap(), &relu).unwrap();
    let entries = ledger.entries();
    assert_eq!((entries.len(), entries[0].kind, entries[0].bytes.total()), (1, KeptKind::Mask, 12));
}

#[test]
fn behind_a_layer_norm_the_mask_is_exact_too() {
    let (x, bias) = (var(&[3, 5, 48], "x"), var(&[48], "bias"));
    let weight = (var(&[48], "weight").abs().unwrap() + 0.5).unwrap();
    let weight = Var::from_tensor(&weight).unwrap();
    let gradients = |codec: &str| {
        let layers = [("norm", LayerKind::Norm), ("relu", LayerKind::Relu)].map(|(name, kind)| {
            let layer = SavePoint::new(name, kind);
            layer.set_codec(packlight_codec::parse(codec).unwrap());
            layer
        });
        let ledger = Ledger::new();
        let entered = Activation::from_tensor(&x, &Pass::training().with_ledger(&ledger)).unwrap();
        let y = op::layer_norm(&entered, &weight, &bias, 1e-5, &layers[0]).unwrap();
        let y = op::relu(&y, &layers[1]).unwrap();
        let kept: Vec<usize> = ledger.entries().iter().map(|entry| entry.bytes.payload).collect();
        let loss = y.into_tensor().unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let flat =
            |var: &Var| grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (flat(&bias), [&weight, &x].map(flat), kept)
    };
    let (exact, exact_others, _) = gradients("none");
    for (codec, codes) in [("blpa:4", 3 * 5 * 48 / 2), ("blpa:8", 3 * 5 * 48)] {
        let (by_bias, others, kept) = gradients(codec);
        // The gradient of the norm's bias counts what the mask lets through.
        assert_eq!(by_bias, exact, "{codec}");
        assert_eq!(others.len(), exact_others.len());
        for (found, exact) in others.iter().zip(&exact_others) {
            let error = relative_error(found, exact);
            assert!(error < 0.3, "{codec}: {error}");
        }
        // One tensor, a statistic of each token, and nothing for the ReLU.
        assert_eq!(kept, [codes, 60, 0], "{codec}");
    }
}
