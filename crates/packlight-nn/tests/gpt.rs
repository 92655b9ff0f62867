//! The decoder-only language model: GPT-2's parameters, causal attention, the tied head, and plans.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::{Ledger, Pass};
use packlight_nn::model::{Gpt, Inputs, Model, ModelSpec};
use packlight_nn::{Plan, weights};

fn small() -> Gpt {
    Gpt { width: 8, depth: 2, heads: 2, context: 6, dropout: 0.0, ..Gpt::default() }
}

fn planned(options: Gpt, plan: &str) -> Model {
    let spec = ModelSpec::new(options).for_text(11).unwrap();
    Model::planned(&spec, &Plan::parse(plan).unwrap(), 1, DType::F64, &Device::Cpu).unwrap()
}

fn tokens(rows: &[[u32; 5]; 2]) -> Tensor {
    Tensor::new(rows, &Device::Cpu).unwrap()
}

const NOW: [[u32; 5]; 2] = [[5, 3, 9, 4, 7], [6, 1, 8, 5, 5]];
const NEXT: [[u32; 5]; 2] = [[3, 9, 4, 7, 10], [1, 8, 5, 5, 0]];

fn logits(model: &Model, now: &[[u32; 5]; 2]) -> Vec<Vec<Vec<f64>>> {
    let found = model.logits(&Inputs::Text(tokens(now)), &Pass::evaluation()).unwrap();
    found.data().to_vec3().unwrap()
}

/// The loss, the gradients by name, and the bytes of inputs that were kept.
fn step(model: &Model) -> (f64, BTreeMap<String, Vec<f64>>, usize) {
    let ledger = Ledger::new();
    let pass = Pass::training().with_seed(1, 2).with_ledger(&ledger);
    let logits = model.logits(&Inputs::Text(tokens(&NOW)), &pass).unwrap();
    let loss = model.loss(&logits, &tokens(&NEXT)).unwrap();
    let store = loss.backward().unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let gradient = |(name, var): (&str, &Var)| Some((name.to_owned(), values(store.get(var)?)));
    let gradients = model.parameters().named().filter_map(gradient).collect();
    let bytes = ledger.entries().iter().map(|entry| entry.bytes.total()).sum();
    (loss.to_scalar::<f64>().unwrap(), gradients, bytes)
}

#[test]
fn parameters_are_those_of_gpt_2() {
    let spec = ModelSpec::new(Gpt::default()).for_text(50_257).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(model.parameters().count(), 124_439_808);
    let shapes: BTreeMap<&str, Vec<usize>> =
        model.parameters().named().map(|(name, var)| (name, var.dims().to_vec())).collect();
    assert_eq!(shapes.len(), 2 + 12 * 12 + 2);
    for (name, shape) in [
        ("transformer.wte.weight", vec![50_257, 768]),
        ("transformer.wpe.weight", vec![1024, 768]),
        ("transformer.h.11.ln_1.weight", vec![768]),
        ("transformer.h.0.attn.c_attn.weight", vec![768, 2304]),
        ("transformer.h.0.attn.c_attn.bias", vec![2304]),
        ("transformer.h.0.attn.c_proj.weight", vec![768, 768]),
        ("transformer.h.0.mlp.c_fc.weight", vec![768, 3072]),
        ("transformer.h.0.mlp.c_proj.weight", vec![3072, 768]),
        ("transformer.ln_f.bias", vec![768]),
    ] {
        assert_eq!(shapes[name], shape, "{name}");
    }
    assert!(planned(Gpt { tied: false, ..small() }, "none").parameters().count() > 88);
}

#[test]
fn no_token_sees_a_later_one() {
    let model = planned(small(), "none");
    let (one, mut changed) = (logits(&model, &NOW), NOW);
    changed[0][3] = 10;
    let other = logits(&model, &changed);
    assert_eq!(one[0][..3], other[0][..3]);
    assert_ne!(one[0][3], other[0][3]);
    assert_ne!(one[0][4], other[0][4]);
    assert_eq!(one[1], other[1]);
}

#[test]
fn a_tied_table_s_gradient_is_that_of_both_its_uses() {
    let (tied, untied) =
        (planned(small(), "none"), planned(Gpt { tied: false, ..small() }, "none"));
    let mut same = tied.parameters().tensors().unwrap();
    same.insert("lm_head.weight".to_owned(), same["transformer.wte.weight"].clone());
    untied.parameters().set(&same).unwrap();
    let ((loss, both, _), (same_loss, mut apart, _)) = (step(&tied), step(&untied));
    assert_eq!(loss, same_loss);
    let head = apart.remove("lm_head.weight").unwrap();
    for (name, found) in &both {
        let mut expected = apart[name].clone();
        if name == "transformer.wte.weight" {
            assert!(head.iter().chain(&expected).any(|value| value.abs() > 1e-3));
            expected.iter_mut().zip(&head).for_each(|(sum, part)| *sum += part);
        }
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-14;
        assert!(found.iter().zip(&expected).all(close), "{name}");
    }
}

#[test]
fn a_frozen_table_has_no_gradient_and_changes_no_other() {
    let (whole, frozen) = (planned(small(), "none"), planned(small(), "none"));
    let named = |name: &'static str| {
        move |layer: &&std::sync::Arc<packlight_autograd::SavePoint>| layer.name() == name
    };
    for name in ["transformer.wte", "transformer.wpe"] {
        frozen.save_points().iter().find(named(name)).unwrap().freeze(true);
    }
    let ((loss, mut whole, kept), (same, found, less)) = (step(&whole), step(&frozen));
    assert_eq!(loss, same);
    whole.remove("transformer.wte.weight");
    whole.remove("transformer.wpe.weight");
    assert_eq!(whole, found);
    // Neither the tokens nor what the head reads.
    assert!(less < kept, "{less} {kept}");
}

#[test]
fn what_packs_on_a_vit_packs_here() {
    let exact = step(&planned(small(), "none"));
    for plan in [
        "default=q8",
        "linear=q8,attention=q8",
        "linear=q2,norm=q2",
        "asa4",
        "default=mesa",
        "activation=regelu2",
        "attention=pool2",
        "checkpoint=block",
        "checkpoint=sqrt,linear=q8",
        "last=3",
    ] {
        let model = planned(small(), plan);
        let (loss, gradients, kept) = step(&model);
        if !plan.starts_with("asa") {
            assert_eq!(loss, exact.0, "{plan}");
        }
        assert!(gradients.values().flatten().all(|value| value.is_finite()), "{plan}");
        if plan == "checkpoint=block" {
            assert_eq!(gradients, exact.1);
        } else {
            assert!(kept < exact.2, "{plan}: {kept} bytes, {} without it", exact.2);
        }
        let expected = if plan == "last=3" { 6 } else { 28 };
        assert_eq!(gradients.len(), expected, "{plan}: {:?}", gradients.keys());
    }
}

#[test]
fn published_names_load_and_a_head_of_its_own_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (model, other) = (planned(small(), "none"), planned(small(), "none"));
    let mut published: BTreeMap<String, Tensor> = model.parameters().tensors().unwrap();
    for (_, var) in other.parameters().named() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    let table = published["transformer.wte.weight"].clone();
    published = published
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix("transformer.").unwrap().to_owned(), tensor))
        .collect();
    published.insert(
        "h.1.attn.bias".to_owned(),
        Tensor::ones((1, 1, 6, 6), DType::F32, &Device::Cpu).unwrap(),
    );
    published.insert("lm_head.weight".to_owned(), table.copy().unwrap());
    weights::write(&path, &published).unwrap();
    other.load(&weights::File::open(&path).unwrap()).unwrap();
    assert_eq!(logits(&model, &NOW), logits(&other, &NOW));

    published.insert("lm_head.weight".to_owned(), (table + 1.0).unwrap());
    weights::write(&path, &published).unwrap();
    let error = other.load(&weights::File::open(&path).unwrap()).unwrap_err().to_string();
    assert!(error.contains("differs from `transformer.wte.weight`"), "{error}");
}

#[test]
fn a_sequence_longer_than_the_context_is_refused() {
    let model = planned(Gpt { context: 4, ..small() }, "none");
    let error = model.logits(&Inputs::Text(tokens(&NOW)), &Pass::evaluation()).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("sequences of 5 tokens, and the model's context is 4"), "{error}");
}
