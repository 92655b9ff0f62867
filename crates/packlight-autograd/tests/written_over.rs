//! Operations write their output over an input that is given by value, and only where nobody can see it any
//! more.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};
use common::{sample, values, var};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics, Visible};
use packlight_autograd::{
    Activation, Observer, Op, Pass, Result, SavePoint, SavedTensor, WeightGradient,
};
use packlight_codec::{CodecState, Packed};
use packlight_record::LayerKind;

const IMAGES: [usize; 4] = [3, 4, 6, 5];

fn layer(kind: LayerKind, codec: &str) -> Arc<SavePoint> {
    let layer = SavePoint::new("layer", kind);
    layer.set_codec(packlight_codec::parse(codec).unwrap());
    layer
}

fn norm(x: impl Into<Activation>, codec: &str) -> Result<Activation> {
    let of = |value: f64| {
        let value = Tensor::full(value, IMAGES[1], &Device::Cpu).unwrap();
        Var::from_tensor(&value).unwrap()
    };
    let running = RunningStatistics { mean: of(0.0), variance: of(1.0), momentum: 0.1 };
    op::batch_norm(x, &of(1.5), &of(0.3), &running, 1e-5, &layer(LayerKind::Norm, codec))
}

fn relu(x: impl Into<Activation>) -> Result<Activation> {
    op::relu(x, &layer(LayerKind::Relu, "none"))
}

fn relu6(x: impl Into<Activation>) -> Result<Activation> {
    op::relu6(x, &layer(LayerKind::Relu, "none"))
}

/// An activation that an operation has just made.
fn made(pass: &Pass) -> Activation {
    let (weight, images) = (var(&[4, 4, 1, 1], "w"), sample(&IMAGES, "x"));
    let x = Activation::from_tensor(&images, pass).unwrap();
    let conv = layer(LayerKind::Conv, "none");
    op::conv2d(&x, &weight, None, Conv2dGeometry::default(), &conv).unwrap()
}

/// The operations that may write over their input.
type Operation = fn(Activation) -> Result<Activation>;

const OPERATIONS: [(&str, Operation); 10] = [
    ("relu", |x| relu(x)),
    ("relu6", |x| relu6(x)),
    ("gelu", |x| op::gelu(x, &layer(LayerKind::Activation, "q4"))),
    ("gelu_tanh", |x| op::gelu_tanh(x, &layer(LayerKind::Activation, "mesa"))),
    ("silu", |x| op::silu(x, &layer(LayerKind::Activation, "resilu2"))),
    ("exact silu", |x| op::silu(x, &layer(LayerKind::Activation, "none"))),
    ("softmax", |x| op::softmax(x, &Visible::default(), &layer(LayerKind::Attention, "q4"))),
    ("batch_norm", |x| norm(x, "q4")),
    ("add", |x| op::add(x, Activation::from_tensor(&sample(&IMAGES, "y"), &Pass::training())?)),
    ("add to", |x| op::add(Activation::from_tensor(&sample(&IMAGES, "y"), &Pass::training())?, x)),
];

/// Packs with another codec what a save point saves, and keeps that.
#[derive(Default)]
struct Seen(Mutex<Vec<Box<dyn Packed>>>);

impl Observer for Seen {
    fn weight_gradient(&self, _: &WeightGradient<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn saved(&self, seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        let whole = packlight_codec::parse("none").unwrap();
        let packed = seen.packed_by(&*whole, 0, &mut CodecState::default());
        self.0.lock().unwrap().push(packed.map_err(|e| e.to_string())?);
        Ok(())
    }
}

/// Somebody keeps what they can see of an activation, and returns it as a tensor.
type Keeper = fn(&Activation) -> Box<dyn Fn() -> Tensor>;

const KEEPERS: [(&str, Keeper); 5] = [
    ("another activation", |x| {
        let x = x.clone();
        Box::new(move || x.data().clone())
    }),
    ("its data", |x| {
        let data = x.data().clone();
        Box::new(move || data.clone())
    }),
    ("another shape of it", |x| {
        let y = op::reshape(x, &[3, 120]).unwrap();
        Box::new(move || y.data().reshape(&IMAGES).unwrap())
    }),
    ("a whole copy", |x| {
        let saved = x.save(&layer(LayerKind::Conv, "none"), Op::Custom("keeper")).unwrap();
        Box::new(move || saved.unpack().unwrap())
    }),
    ("the auxiliary of another", |x| {
        let y = x.save_as(x);
        Box::new(move || y.data().clone())
    }),
];

#[test]
fn what_can_still_be_seen_is_not_written_over() {
    for pass in [Pass::training(), Pass::evaluation()] {
        for (name, operation) in OPERATIONS {
            for (keeper, keep) in KEEPERS {
                let expected = values(made(&pass).data());
                let x = made(&pass);
                let kept = keep(&x);
                drop(operation(x).unwrap());
                assert_eq!(values(&kept()), expected, "{keeper} behind {name}");
            }
        }
    }
}

#[test]
fn what_an_observer_keeps_is_not_written_over() {
    let seen = Arc::new(Seen::default());
    let x = made(&Pass::training().with_observer(seen.clone()));
    let expected = values(made(&Pass::training()).data());
    norm(x, "q4").unwrap();
    assert_eq!(values(&seen.0.lock().unwrap().last().unwrap().unpack().unwrap()), expected);
}

#[test]
fn outputs_are_those_of_inputs_that_stay() {
    for pass in [Pass::training(), Pass::evaluation()] {
        for (name, operation) in OPERATIONS {
            let kept = made(&pass);
            let beside = operation(kept.clone()).unwrap();
            let over = operation(made(&pass)).unwrap();
            assert_eq!(values(over.data()), values(beside.data()), "{name}");
        }
    }
}

/// A convolution, a norm, a ReLU, a sum, a GELU and a SiLU, by value or not; with every codec of the norm.
#[test]
fn gradients_are_those_of_inputs_that_stay() {
    for codec in [
        "none",
        "q2",
        "mesa",
        "fp8",
        "pool2",
        "bf16",
        "topk:0.5",
        "topk:0.5:mask",
        "bitmap",
        "bsr:2:0.5",
        "outlier:0.1",
        "svd:0.8",
        "hosvd:0.8",
        "asi:2x2x2x2",
        "alt4",
    ] {
        let gradients = |by_value: bool| {
            let (weight, input) = (var(&[4, 4, 3, 3], "w"), var(&IMAGES, "x"));
            let pass = Pass::training();
            let x = Activation::from_tensor(&input, &pass).unwrap();
            let geometry = Conv2dGeometry { padding: (1, 1), ..Conv2dGeometry::default() };
            let conv = layer(LayerKind::Conv, codec);
            let y = op::conv2d(&x, &weight, None, geometry, &conv).unwrap();
            let y = match by_value {
                true => {
                    let y = relu(norm(y, codec).unwrap()).unwrap();
                    let y = relu6(op::add(y, &x).unwrap()).unwrap();
                    let y = op::gelu(y, &layer(LayerKind::Activation, codec)).unwrap();
                    op::silu(y, &layer(LayerKind::Activation, codec)).unwrap()
                }
                false => {
                    let normalised = norm(&y, codec).unwrap();
                    let y = relu(&normalised).unwrap();
                    let sum = op::add(&y, &x).unwrap();
                    let y = relu6(&sum).unwrap();
                    let y = op::gelu(&y, &layer(LayerKind::Activation, codec)).unwrap();
                    op::silu(&y, &layer(LayerKind::Activation, codec)).unwrap()
                }
            };
            let loss = (y.into_tensor().unwrap() * sample(&IMAGES, "grad")).unwrap();
            let store = loss.sum_all().unwrap().backward().unwrap();
            [&weight, &input].map(|var| values(store.get(var).unwrap()))
        };
        assert_eq!(gradients(true), gradients(false), "{codec}");
    }
}
