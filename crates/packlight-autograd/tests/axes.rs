//! What the axes of an activation mean goes with it: four axes may be an image's or those of heads of
//! attention, and codecs treat these differently.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use candle_core::{DType, Tensor};
use common::{sample, var};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics, Visible};
use packlight_autograd::{Activation, AxisLayout, Ledger, Pass, Result, SavePoint};
use packlight_codec::identity::Identity;
use packlight_codec::{Bytes, Codec, Packed, Scope, Site};
use packlight_record::LayerKind;

const AXES: [usize; 4] = [2, 3, 4, 8];

fn enter(axes: AxisLayout) -> Activation {
    let pass = Pass::training();
    Activation::from_tensor(var(&AXES, "x").as_tensor(), &pass).unwrap().with_axes(axes)
}

fn layer(kind: LayerKind, codec: &str) -> Arc<SavePoint> {
    let layer = SavePoint::new("layer", kind);
    layer.set_codec(packlight_codec::parse(codec).unwrap());
    layer
}

fn running() -> RunningStatistics {
    let ones = || candle_core::Var::ones(3, DType::F64, &candle_core::Device::Cpu).unwrap();
    RunningStatistics { mean: ones(), variance: ones(), momentum: 0.1 }
}

#[test]
fn a_tensor_of_four_axes_enters_as_images_unless_it_is_said_otherwise() {
    let pass = Pass::training();
    let of = |shape: &[usize]| Activation::from_tensor(&sample(shape, "x"), &pass).unwrap().axes();
    assert_eq!(of(&AXES), AxisLayout::Images);
    assert_eq!([of(&[2, 3]), of(&[2, 3, 4])], [AxisLayout::Tokens; 2]);
    assert_eq!(enter(AxisLayout::Heads).axes(), AxisLayout::Heads);
}

/// An operation.
type Op = fn(&Activation) -> Result<Activation>;

#[test]
fn what_leaves_the_axes_where_they_are_passes_their_meaning_on() {
    let same: [(&str, Op); 15] = [
        ("add", |x| op::add(x, x)),
        ("scale", |x| op::scale(x, 2.0)),
        ("slice", |x| op::slice(x, 1, 0..2)),
        ("relu", |x| op::relu(x, &layer(LayerKind::Relu, "none"))),
        ("sigmoid", |x| op::sigmoid(x, &layer(LayerKind::Attention, "none"))),
        ("tanh", |x| op::tanh(x, &layer(LayerKind::Activation, "none"))),
        ("pad", |x| op::pad(x, 1, 2)),
        ("roll", |x| op::roll(x, 1, 2)),
        ("stochastic_depth", |x| op::stochastic_depth(x, 0.5, &layer(LayerKind::Dropout, "none"))),
        ("relu6", |x| op::relu6(x, &layer(LayerKind::Relu, "none"))),
        ("gelu", |x| op::gelu(x, &layer(LayerKind::Activation, "none"))),
        ("dropout", |x| op::dropout(x, 0.5, &layer(LayerKind::Dropout, "none"))),
        ("softmax", |x| op::softmax(x, &Visible::default(), &layer(LayerKind::Attention, "none"))),
        ("matmul", |x| {
            let by = layer(LayerKind::Attention, "none");
            op::matmul_transposed(x, x, &by, &by)
        }),
        ("batch_norm", |x| {
            let (w, b) = (var(&[3], "w"), var(&[3], "b"));
            op::batch_norm(x, &w, &b, &running(), 1e-5, &layer(LayerKind::Norm, "none"))
        }),
    ];
    for (name, op) in same {
        for axes in [AxisLayout::Images, AxisLayout::Heads, AxisLayout::Tokens] {
            assert_eq!(op(&enter(axes)).unwrap().axes(), axes, "{name}");
            let segment = SavePoint::new("segment", LayerKind::Segment);
            let part = move |x: &Activation, []: [&Activation; 0]| op(x);
            let y = op::checkpoint((&enter(axes), &segment), [], &[], part).unwrap();
            assert_eq!(y.axes(), axes, "{name}, checkpointed");
        }
    }
}

#[test]
fn what_makes_other_axes_says_what_they_mean() {
    let others: [(&str, Op, AxisLayout); 6] = [
        ("permute", |x| op::permute(x, &[0, 2, 1, 3]), AxisLayout::Tokens),
        ("reshape", |x| op::reshape(x, &[2, 3, 8, 4]), AxisLayout::Tokens),
        ("flatten", op::flatten, AxisLayout::Tokens),
        ("mean_axis", |x| op::mean_axis(x, 2), AxisLayout::Tokens),
        (
            "linear",
            |x| op::linear(x, &var(&[5, 8], "w"), None, &layer(LayerKind::Linear, "none")),
            AxisLayout::Tokens,
        ),
        (
            "conv2d",
            |x| {
                let by = layer(LayerKind::Conv, "none");
                op::conv2d(x, &var(&[5, 3, 1, 1], "w"), None, Conv2dGeometry::default(), &by)
            },
            AxisLayout::Images,
        ),
    ];
    for (name, op, expected) in others {
        for axes in [AxisLayout::Images, AxisLayout::Heads, AxisLayout::Tokens] {
            assert_eq!(op(&enter(axes)).unwrap().axes(), expected, "{name}");
        }
    }
}

/// Keeps all, and notes what it is told of the axes.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<AxisLayout>>);

impl Codec for Noting {
    fn spec(&self) -> String {
        "noting".into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[])
    }

    fn bytes(&self, _: &Site<'_>, _: &[usize], _: DType) -> packlight_codec::Result<Option<Bytes>> {
        Ok(None)
    }

    fn pack(
        &self,
        input: &Tensor,
        site: &mut Site<'_>,
    ) -> packlight_codec::Result<Box<dyn Packed>> {
        self.0.lock().unwrap().push(site.axes);
        Identity.pack(input, site)
    }
}

#[test]
fn every_layer_that_keeps_its_input_is_told_what_the_axes_mean() {
    type Keeping = fn(&Activation, &Arc<SavePoint>) -> Result<Activation>;
    let keeping: [(&str, Keeping); 6] = [
        ("gelu", |x, point| op::gelu(x, point)),
        ("gelu_tanh", |x, point| op::gelu_tanh(x, point)),
        ("silu", |x, point| op::silu(x, point)),
        ("softmax", |x, layer| op::softmax(x, &Visible::default(), layer)),
        ("matmul", |x, layer| op::matmul_transposed(x, x, layer, layer)),
        ("batch_norm", |x, layer| {
            op::batch_norm(x, &var(&[3], "w"), &var(&[3], "b"), &running(), 1e-5, layer)
        }),
    ];
    for (name, op) in keeping {
        for axes in [AxisLayout::Images, AxisLayout::Heads] {
            let (codec, layer) = (Arc::new(Noting::default()), layer(LayerKind::Linear, "none"));
            layer.set_codec(codec.clone());
            op(&enter(axes), &layer).unwrap();
            let told = codec.0.lock().unwrap();
            assert!(!told.is_empty() && told.iter().all(|&told| told == axes), "{name}: {told:?}");
        }
    }
}

#[test]
fn heads_are_packed_as_heads_and_images_as_images() {
    // Averages over 2 x 2 pixels of an image, over 2 features of a token of each head.
    let kept = |axes| {
        let ledger = Ledger::new();
        let pass = Pass::training().with_ledger(&ledger);
        let x = Activation::from_tensor(var(&AXES, "x").as_tensor(), &pass).unwrap();
        op::gelu(x.with_axes(axes), &layer(LayerKind::Activation, "pool2")).unwrap();
        ledger.entries()[0].bytes.total()
    };
    let whole = AXES.iter().product::<usize>() * 8;
    assert_eq!(kept(AxisLayout::Images), whole / 4);
    assert_eq!(kept(AxisLayout::Heads), whole / 2);
    // A range for each of three heads, or for up to 64 channels together.
    let ranges = |axes| {
        let layer = layer(LayerKind::Activation, "mesa");
        op::gelu(enter(axes), &layer).unwrap();
        layer.codec_state().get("ranges").unwrap().dims().to_vec()
    };
    assert_eq!(ranges(AxisLayout::Images), [1, 2]);
    assert_eq!(ranges(AxisLayout::Heads), [3, 2]);
}
