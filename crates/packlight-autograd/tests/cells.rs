//! Norm, ReLU and the layer behind them, which share one packed tensor.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, var};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics};
use packlight_autograd::{Activation, Ledger, Pass, SavePoint};
use packlight_record::{KeptKind, LayerKind};

fn layer(name: &str, kind: LayerKind, codec: &str) -> std::sync::Arc<SavePoint> {
    let layer = SavePoint::new(name, kind);
    layer.set_codec(packlight_codec::parse(codec).unwrap());
    layer
}

struct Step {
    gradients: Vec<Tensor>,
    /// Bytes kept as inputs and as masks.
    inputs: usize,
    masks: usize,
}

/// One step through `forward`, which gets the input and the parameters.
fn step(shapes: &[(&str, &[usize])], forward: impl Fn(&Activation, &[Var]) -> Activation) -> Step {
    let vars: Vec<Var> = shapes.iter().map(|(name, shape)| var(shape, name)).collect();
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let x = Activation::from_tensor(&vars[0], &pass).unwrap();
    let y = forward(&x, &vars[1..]);
    let loss = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    let of = |kind| {
        let entries = ledger.entries().into_iter().filter(move |entry| entry.kind == kind);
        entries.map(|entry| entry.bytes.total()).sum()
    };
    Step {
        gradients: vars.iter().map(|var| store.get(var).unwrap().clone()).collect(),
        inputs: of(KeptKind::Input),
        masks: of(KeptKind::Mask),
    }
}

fn close(found: &Step, exact: &Step) {
    assert_eq!(found.gradients.len(), exact.gradients.len());
    let gradients = found.gradients.iter().zip(&exact.gradients);
    gradients.for_each(|(found, exact)| assert_close(found, exact, 1e-11));
}

#[test]
fn one_tensor_serves_batch_norm_relu_and_convolution() {
    let run = |codec: &str| {
        let shapes: &[(&str, &[usize])] =
            &[("x", &[2, 3, 6, 6]), ("weight", &[3]), ("bias", &[3]), ("kernel", &[4, 3, 3, 3])];
        step(shapes, |x, vars| {
            let ones = || Var::ones(3, DType::F64, &Device::Cpu).unwrap();
            let running = RunningStatistics { mean: ones(), variance: ones(), momentum: 0.1 };
            let norm = layer("norm", LayerKind::Norm, codec);
            let y = op::batch_norm(x, &vars[0], &vars[1], &running, 1e-5, &norm).unwrap();
            let y = op::relu(&y, &layer("relu", LayerKind::Relu, codec)).unwrap();
            let conv = layer("conv", LayerKind::Conv, codec);
            op::conv2d(&y, &vars[2], None, Conv2dGeometry::default(), &conv).unwrap()
        })
    };
    let (exact, shared) = (run("none"), run("msnorm"));
    close(&shared, &exact);
    let tensor = 2 * 3 * 6 * 6 * 8;
    assert_eq!((exact.inputs, exact.masks), (2 * tensor, tensor / 64));
    assert_eq!((shared.inputs, shared.masks), (tensor, 0));
}

#[test]
fn one_tensor_serves_layer_norm_and_linear_layer() {
    let run = |codec: &str| {
        let shapes: &[(&str, &[usize])] =
            &[("x", &[2, 5, 6]), ("weight", &[6]), ("bias", &[6]), ("matrix", &[4, 6])];
        step(shapes, |x, vars| {
            let norm = layer("norm", LayerKind::Norm, codec);
            let y = op::layer_norm(x, &vars[0], &vars[1], 1e-5, &norm).unwrap();
            op::linear(&y, &vars[2], None, &layer("fc", LayerKind::Linear, codec)).unwrap()
        })
    };
    let (exact, shared) = (run("none"), run("msnorm"));
    close(&shared, &exact);
    assert_eq!((exact.inputs, shared.inputs), (2 * 2 * 5 * 6 * 8, 2 * 5 * 6 * 8));
}
