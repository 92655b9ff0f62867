//! A pass over blanks counts the activations that are alive.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use packlight_autograd::{Activation, Ledger, Pass, SavePoint, op};
use packlight_kernels::blank::blank;
use packlight_kernels::cross_entropy::Targets;
use packlight_record::LayerKind;

fn save_point(name: &str, kind: LayerKind, codec: &str) -> Arc<SavePoint> {
    let point = SavePoint::new(name, kind);
    point.set_codec(packlight_codec::parse(codec).unwrap());
    point
}

fn weight(shape: (usize, usize)) -> Var {
    Var::from_tensor(&Tensor::zeros(shape, DType::F32, &candle_core::Device::Cpu).unwrap()).unwrap()
}

/// What is kept, what flows, and what would flow as well if all that is kept whole were packed.
fn last(ledger: &Ledger) -> [usize; 3] {
    let last = ledger.moments().pop().unwrap();
    [last.kept, last.flowing, last.restorable]
}

#[test]
fn activations_flow_until_they_are_dropped_or_kept_whole() {
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    // 128 bytes, which the caller holds until the backward pass.
    let mut x = Activation::from_tensor(&blank((4, 8), DType::F32).unwrap(), &pass).unwrap();
    let wide = save_point("wide", LayerKind::Linear, "bf16");
    x = op::linear(&x, &weight((16, 8)), None, &wide).unwrap();
    assert_eq!(last(&ledger), [64, 128 + 256, 0]);
    // Packed, so that the output is written over the input.
    x = op::gelu(x, &save_point("gelu", LayerKind::Activation, "bf16")).unwrap();
    assert_eq!(last(&ledger), [64 + 128, 128 + 256, 0]);
    // A view takes no memory, and is the input of a layer that keeps it whole.
    x = op::reshape(&x, &[2, 2, 16]).unwrap();
    let shortcut = x.clone();
    let fc = save_point("fc", LayerKind::Linear, "none");
    x = op::linear(&x, &weight((16, 16)), None, &fc).unwrap();
    assert_eq!(last(&ledger), [192 + 256, 128 + 256, 256]);
    // A sum over an operand that nothing else needs.
    x = op::add(&shortcut, x).unwrap();
    drop(shortcut);
    let out = save_point("out", LayerKind::Linear, "bf16");
    x = op::linear(&x, &weight((2, 16)), None, &out).unwrap();
    assert_eq!(last(&ledger), [448 + 128, 128 + 256 + 32, 0]);
    let layers: Vec<_> = ledger.moments().into_iter().filter_map(|moment| moment.layer).collect();
    assert_eq!(layers.last().map(|name| &**name), Some("out"));

    // All is gone when the backward pass begins, but the gradient of the output.
    let loss = x.into_tensor().unwrap();
    loss.backward().unwrap();
    let moments = ledger.moments();
    let first = moments.iter().find(|moment| moment.backward).unwrap();
    assert_eq!([first.kept, first.flowing], [576, 32]);
}

#[test]
fn a_part_that_is_recomputed_is_alive_in_both_passes() {
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let x = Activation::from_tensor(&blank((4, 8), DType::F32).unwrap(), &pass).unwrap();
    let parameters = [weight((32, 8)), weight((8, 32))];
    let [up, down] = ["up", "down"].map(|name| save_point(name, LayerKind::Linear, "none"));
    let [w, v] = parameters.clone();
    let part = move |x: &Activation, []: [&Activation; 0]| {
        op::linear(&op::linear(x, &w, None, &up)?, &v, None, &down)
    };
    let own = save_point("part", LayerKind::Segment, "none");
    let y = op::checkpoint((&x, &own), [], &parameters, part).unwrap();
    drop(x);
    // 128 bytes of input and output each, and 512 between the layers, which nothing keeps at first.
    let forward = ledger.moments();
    assert_eq!(forward.iter().map(|m| m.kept + m.flowing).max(), Some(128 + 512 + 128));
    assert_eq!(ledger.kept(), 128);
    let labels = blank(4, DType::U32).unwrap();
    let point = SavePoint::new("loss", LayerKind::Loss);
    let loss = op::softmax_cross_entropy(&y, &labels, Targets::default(), &point).unwrap();
    drop(y);
    loss.into_tensor().unwrap().backward().unwrap();
    let again = ledger.moments().split_off(forward.len());
    let most = again.iter().filter(|m| m.layer.as_deref() == Some("down"));
    // The gradient of the output waits beside it all.
    assert_eq!(most.map(|m| [m.kept, m.flowing]).next(), Some([128 + 512, 128]));
}
