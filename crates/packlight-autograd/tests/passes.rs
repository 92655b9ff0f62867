//! What is kept, when it is freed, and what happens at the edges of a pass.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::op::{self, Conv2dGeometry, Targets};
use packlight_autograd::{Activation, Ledger, Observer, Pass, SavePoint, WeightGradient};
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::LayerKind;

fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).layer(name).stream();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn var(shape: &[usize], name: &str) -> Var {
    Var::from_tensor(&sample(shape, name)).unwrap()
}

fn geometry() -> Conv2dGeometry {
    Conv2dGeometry { padding: (1, 1), ..Default::default() }
}

fn loss(y: Activation) -> Tensor {
    y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_second_backward_is_a_clear_error() {
    let w = var(&[2, 3], "w");
    let x = Activation::from_tensor(&sample(&[4, 3], "x"), &Pass::training()).unwrap();
    let loss = loss(op::linear(&x, &w, None, &SavePoint::new("fc", LayerKind::Linear)).unwrap());
    loss.backward().unwrap();
    let error = loss.backward().unwrap_err().to_string();
    assert!(error.contains("freed by the first backward pass"), "{error}");
}

#[test]
fn plain_candle_code_works_before_and_after() {
    let (a, w) = (var(&[4, 3], "a"), var(&[2, 3], "w"));
    let before = (a.as_tensor() * 2.0).unwrap();
    let x = Activation::from_tensor(&before, &Pass::training()).unwrap();
    let y = op::linear(&x, &w, None, &SavePoint::new("fc", LayerKind::Linear)).unwrap();
    let grads = loss(y).backward().unwrap();
    let plain = before.matmul(&w.t().unwrap()).unwrap().sqr().unwrap().sum_all().unwrap();
    let expected = plain.backward().unwrap();
    for var in [&a, &w] {
        let gap = (grads.get(var).unwrap() - expected.get(var).unwrap()).unwrap();
        assert!(bits(&gap).iter().all(|gap| gap.abs() < 1e-4));
    }
}

#[test]
fn candles_adamw_steps_on_the_gradients_unchanged() {
    use candle_nn::Optimizer;
    let w = var(&[2, 3], "w");
    let before = bits(&w);
    let mut adam = candle_nn::AdamW::new_lr(vec![w.clone()], 0.1).unwrap();
    let x = Activation::from_tensor(&sample(&[4, 3], "x"), &Pass::training()).unwrap();
    let y = op::linear(&x, &w, None, &SavePoint::new("fc", LayerKind::Linear)).unwrap();
    adam.backward_step(&loss(y)).unwrap();
    assert!(bits(&w).iter().zip(before).all(|(now, before)| (now - before).abs() > 0.05));
}

#[test]
fn evaluation_and_frozen_layers_keep_nothing() {
    let (w, frozen) = (var(&[3, 3, 3, 3], "w"), sample(&[3, 3, 3, 3], "frozen"));
    let layer = SavePoint::new("conv", LayerKind::Conv);
    let relu = SavePoint::new("relu", LayerKind::Relu);
    let x = sample(&[2, 3, 8, 8], "x");
    for (pass, weight) in [(Pass::evaluation(), w.as_tensor()), (Pass::training(), &frozen)] {
        let ledger = Ledger::new();
        let x = Activation::from_tensor(&x, &pass.with_ledger(&ledger)).unwrap();
        let y = op::conv2d(&x, weight, None, geometry(), &layer).unwrap();
        let y = op::relu(&y, &relu).unwrap().into_tensor().unwrap();
        assert!(ledger.entries().is_empty() && !y.track_op());
    }
}

#[test]
fn two_layers_with_one_codec_share_one_copy_and_others_do_not() {
    let w = var(&[3, 3, 3, 3], "w");
    let [a, b, c] = ["a", "b", "c"].map(|name| SavePoint::new(name, LayerKind::Conv));
    let pool = packlight_codec::parse("pool2").unwrap();
    a.set_codec(pool.clone());
    b.set_codec(pool);
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let x = Activation::from_tensor(&sample(&[2, 3, 8, 8], "x"), &pass).unwrap();
    let conv = |layer: &Arc<SavePoint>| op::conv2d(&x, &w, None, geometry(), layer).unwrap();
    let sum = op::add(op::add(conv(&a), conv(&b)).unwrap(), conv(&c)).unwrap();
    let entries = ledger.entries();
    let kept: Vec<_> =
        entries.iter().map(|entry| (&*entry.layer, entry.bytes.total(), entry.raw)).collect();
    assert_eq!(
        kept,
        [("a", 2 * 3 * 16 * 4, 2 * 3 * 64 * 4), ("c", 2 * 3 * 64 * 4, 2 * 3 * 64 * 4)]
    );
    loss(sum).backward().unwrap();
    assert_eq!((ledger.kept(), ledger.peak()), (0, 2 * 3 * (16 + 64) * 4));
    assert!(ledger.timeline().iter().skip(2).all(|event| event.backward));
}

#[test]
fn a_codec_changes_the_weights_gradient_alone() {
    let x = var(&[3, 4, 9, 7], "x");
    let (w, b) = (var(&[5, 4, 3, 3], "w"), var(&[5], "b"));
    let layer = SavePoint::new("conv", LayerKind::Conv);
    let run = || {
        let x = Activation::from_tensor(&x, &Pass::training()).unwrap();
        let y = op::conv2d(&x, &w, Some(&b), geometry(), &layer).unwrap();
        let loss = loss(y);
        let grads = loss.backward().unwrap();
        (bits(&loss), grads)
    };
    let (exact_loss, exact) = run();
    layer.set_codec(packlight_codec::parse("pool2").unwrap());
    let (pooled_loss, pooled) = run();
    assert_eq!(exact_loss, pooled_loss);
    for same in [&x, &b] {
        assert_eq!(bits(exact.get(same).unwrap()), bits(pooled.get(same).unwrap()));
    }
    assert_ne!(bits(exact.get(&w).unwrap()), bits(pooled.get(&w).unwrap()));
}

/// Layer, exact and compressed gradient, bytes kept.
type Row = (String, Vec<f32>, Vec<f32>, usize);

#[derive(Default)]
struct Seen(Mutex<Vec<Row>>);

impl Observer for Seen {
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> Result<(), String> {
        let row = (
            seen.layer.name().to_string(),
            bits(seen.exact),
            bits(seen.compressed),
            seen.kept.total(),
        );
        self.0.lock().unwrap().push(row);
        Ok(())
    }
}

#[test]
fn an_observer_sees_both_gradients_and_changes_nothing() {
    let w = var(&[5, 4, 3, 3], "w");
    let layer = SavePoint::new("conv", LayerKind::Conv);
    let run = |pass: &Pass| {
        let x = Activation::from_tensor(&sample(&[3, 4, 8, 8], "x"), pass).unwrap();
        let grads = loss(op::conv2d(&x, &w, None, geometry(), &layer).unwrap()).backward().unwrap();
        bits(grads.get(&w).unwrap())
    };
    let exact = run(&Pass::training());
    layer.set_codec(packlight_codec::parse("pool2").unwrap());
    let pooled = run(&Pass::training());
    let seen = Arc::new(Seen::default());
    assert_eq!(run(&Pass::training().with_observer(seen.clone())), pooled);
    assert_eq!(*seen.0.lock().unwrap(), [("conv".into(), exact, pooled, 3 * 4 * 16 * 4)]);
}

#[test]
fn a_dropped_loss_frees_what_was_kept() {
    let w = var(&[2, 3], "w");
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let x = Activation::from_tensor(&sample(&[4, 3], "x"), &pass).unwrap();
    let y = op::linear(&x, &w, None, &SavePoint::new("fc", LayerKind::Linear)).unwrap();
    assert!(ledger.kept() > 0);
    drop((x, y));
    assert_eq!(ledger.kept(), 0);
}

#[test]
fn errors_name_the_layer() {
    let layer = SavePoint::new("layer1.0.conv1", LayerKind::Conv);
    let x = Activation::from_tensor(&sample(&[2, 3, 8, 8], "x"), &Pass::training()).unwrap();
    let error =
        op::conv2d(&x, &sample(&[2, 4, 3, 3], "w"), None, geometry(), &layer).err().unwrap();
    assert!(error.to_string().contains("layer `layer1.0.conv1`: conv2d"), "{error}");
    let labels = Tensor::new(&[0u32, 7], &Device::Cpu).unwrap();
    let logits = Activation::from_tensor(&sample(&[2, 3], "x"), &Pass::training()).unwrap();
    let error = op::softmax_cross_entropy(&logits, &labels, Targets::default(), &layer)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("label 7 of sample 1"), "{error}");
    let half = sample(&[2, 3, 8, 8], "x").to_dtype(DType::BF16).unwrap();
    let half = Activation::from_tensor(&half, &Pass::training()).unwrap();
    let error = op::relu(&half, &layer).err().unwrap().to_string();
    assert!(error.contains("f32 or f64") && error.contains("BF16"), "{error}");
}
