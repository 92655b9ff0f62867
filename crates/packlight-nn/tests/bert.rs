//! BERT: its parameters, padding, plans, and the files that Hugging Face's transformers writes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Ledger, Pass};
use packlight_codec::Scope;
use packlight_nn::footprint::{Footprint, Step};
use packlight_nn::model::{Bert, Inputs, Model, ModelSpec};
use packlight_nn::{Plan, weights};
use packlight_record::KeptKind;

/// As in the fixtures, which `make_transformers.py` writes.
fn small() -> Bert {
    Bert { width: 8, depth: 2, heads: 2, context: 6, dropout: 0.0, ..Bert::default() }
}

fn planned(options: Bert, plan: &str) -> Model {
    let spec = ModelSpec::new(options).for_labelled_text(11, 3).unwrap();
    Model::planned(&spec, &Plan::parse(plan).unwrap(), 1, DType::F64, &Device::Cpu).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn texts<const N: usize>(rows: &[[u32; N]]) -> Inputs {
    Inputs::Text(Tensor::from_slice(rows.as_flattened(), (rows.len(), N), &Device::Cpu).unwrap())
}

fn logits(model: &Model, texts: &Inputs) -> Vec<Vec<f64>> {
    model.logits(texts, &Pass::evaluation()).unwrap().data().to_vec2().unwrap()
}

#[test]
fn parameters_are_those_of_bert() {
    let large = Bert { width: 1024, depth: 24, heads: 16, ..Bert::default() };
    for (options, classes, count) in [
        (Bert::default(), 2, 109_483_778),
        (Bert::default(), 3, 109_484_547),
        (large.clone(), 2, 335_143_938),
        (large, 3, 335_144_963),
    ] {
        let spec = ModelSpec::new(options).for_labelled_text(30_522, classes).unwrap();
        let found = Footprint::of(&spec, &Plan::parse("none").unwrap(), &Step::of_batch(1));
        let found: usize = found.unwrap().layers.iter().map(|layer| layer.parameters).sum();
        assert_eq!(found, count);
    }
}

#[test]
fn no_token_sees_padding() {
    let model = planned(small(), "none");
    let padded = logits(&model, &texts(&[[5, 3, 9, 0, 0], [4, 8, 1, 7, 2]]));
    assert_eq!(padded[0], logits(&model, &texts(&[[5, 3, 9]]))[0]);
    assert_ne!(padded[0], logits(&model, &texts(&[[5, 3, 9, 1, 1]]))[0]);
}

#[test]
fn auxiliary_levels_are_those_of_the_paper() {
    let model = planned(Bert { depth: 1, ..small() }, "none");
    let covered = |level| {
        let layers = model.save_points().iter();
        let covered = layers.filter(|layer| layer.is_in(Scope::Auxiliary(level)));
        covered.map(|layer| layer.name().to_owned()).collect::<Vec<_>>()
    };
    let block = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("bert.encoder.layer.0.{name}")).collect()
    };
    let [first, second] = ["intermediate.dense", "output.dense"];
    assert_eq!(covered(1), block(&[second]));
    assert_eq!(covered(2), block(&[first, second]));
    assert_eq!(covered(3), block(&["attention.output.dense", first, second]));
    let [q, k, v] = ["attention.self.query", "attention.self.key", "attention.self.value"];
    assert_eq!(covered(4), block(&[q, k, v, "attention.output.dense", first, second]));
}

#[test]
fn a_block_keeps_what_the_formula_says_and_less_under_each_level() {
    // Tokens, features, hidden, heads.
    let (n, d, m, h) = (16, 24, 96, 3);
    let kept = |plan: &str| {
        let options = Bert { width: d, depth: 2, heads: h, dropout: 0.1, ..Bert::default() };
        let spec = ModelSpec::new(options).for_labelled_text(11, 3).unwrap();
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(&spec, &plan, 1, DType::F32, &Device::Cpu).unwrap();
        let ledger = Ledger::new();
        let rows = [[1u32; 16]];
        let pass = Pass::training().with_ledger(&ledger);
        let y = model.logits(&texts(&rows), &pass).unwrap();
        let of = |entry: &&packlight_autograd::Entry| {
            entry.layer.starts_with("bert.encoder.layer.1.") && entry.kind != KeptKind::Statistics
        };
        let bytes = ledger.entries().iter().filter(of).map(|entry| entry.bytes.total()).sum();
        drop(y);
        bytes
    };
    // Two inputs of norms, the block's own, that of the output projection and of the feed-forward
    // part, q, k and v; the GELU's and the second layer's; the probabilities.
    let exact: usize = kept("none");
    assert_eq!(exact, 4 * (8 * n * d + 2 * n * m + h * n * n));
    // One bit remains of each number that a level covers.
    let signs = |numbers: usize| numbers * 4 - numbers / 8;
    assert_eq!(exact - kept("asa1"), signs(n * m));
    let levels = ["none", "asa1", "asa2", "asa3", "asa4"].map(kept);
    assert!(levels.is_sorted_by(|a, b| a > b), "{levels:?}");
}

#[test]
fn plans_pack_freeze_and_recompute() {
    let step = |plan: &str| {
        let model = planned(small(), plan);
        let ledger = Ledger::new();
        let pass = Pass::training().with_seed(1, 2).with_ledger(&ledger);
        let inputs = texts(&[[5, 3, 9, 4, 7], [6, 1, 8, 0, 0]]);
        let logits = model.logits(&inputs, &pass).unwrap();
        let labels = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
        let loss = model.loss(&logits, &labels).unwrap();
        drop(logits);
        let store = loss.backward().unwrap();
        let gradients: Vec<Vec<f64>> = model
            .parameters()
            .named()
            .filter_map(|(_, var)| store.get(var))
            .map(|gradient| gradient.flatten_all().unwrap().to_vec1().unwrap())
            .collect();
        let kept: usize = ledger.entries().iter().map(|entry| entry.bytes.total()).sum();
        (loss.to_scalar::<f64>().unwrap(), gradients, kept)
    };
    let exact = step("none");
    for plan in
        ["linear=q8,attention=q8,norm=q4", "asa4", "default=mesa", "activation=q4", "last=3"]
    {
        let (loss, gradients, kept) = step(plan);
        assert_eq!(loss == exact.0, plan != "asa4", "{plan}");
        assert!(gradients.iter().flatten().all(|value| value.is_finite()), "{plan}");
        assert!(kept < exact.2, "{plan}: {kept} bytes, {} without it", exact.2);
        assert_eq!(gradients.len(), if plan == "last=3" { 8 } else { exact.1.len() }, "{plan}");
    }
    let again = step("checkpoint=block");
    assert_eq!((exact.0, exact.1), (again.0, again.1));
}

#[test]
fn a_file_of_transformers_loads_and_gives_its_loss() {
    let model = planned(small(), "none");
    let path = fixture("bert_model.safetensors");
    model.load(&weights::File::open(&path).unwrap()).unwrap();
    let said = weights::read(&fixture("bert.safetensors"), &Device::Cpu).unwrap();
    let as_u32 = |name: &str| said[name].to_dtype(DType::U32).unwrap();
    let found = model.logits(&Inputs::Text(as_u32("tokens")), &Pass::evaluation()).unwrap();
    let loss = model.loss(&found, &as_u32("labels")).unwrap().to_scalar::<f64>().unwrap();
    let expected = f64::from(said["loss"].to_scalar::<f32>().unwrap());
    assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
}

#[test]
fn names_of_older_files_and_heads_of_pre_training_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (model, other) = (planned(small(), "none"), planned(small(), "none"));
    let mut older: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, tensor) in model.parameters().tensors().unwrap() {
        let norm = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        older.insert(norm.replace("LayerNorm.bias", "LayerNorm.beta"), tensor);
    }
    for (_, var) in other.parameters().named() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    let more = Tensor::ones(11, DType::F32, &Device::Cpu).unwrap();
    older.insert("cls.predictions.bias".to_owned(), more);
    let positions = Tensor::ones((1, 6), DType::I64, &Device::Cpu).unwrap();
    older.insert("bert.embeddings.position_ids".to_owned(), positions);
    weights::write(&path, &older).unwrap();
    other.load(&weights::File::open(&path).unwrap()).unwrap();
    let inputs = texts(&[[5, 3, 9, 4, 7]]);
    assert_eq!(logits(&model, &inputs), logits(&other, &inputs));
}

#[test]
fn a_file_of_a_pre_trained_body_leaves_the_classifier_as_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = planned(small(), "none");
    let mut body = weights::read(&fixture("bert_model.safetensors"), &Device::Cpu).unwrap();
    body.retain(|name, _| !name.starts_with("classifier."));
    weights::write(&path, &body).unwrap();
    let file = weights::File::open(&path).unwrap();
    let before = model.parameters().tensors().unwrap();
    let refused = model.load(&file).unwrap_err().to_string();
    assert!(refused.contains("classifier.bias"), "{refused}");
    model.start_from(&file).unwrap();
    let values = |tensor: &Tensor| {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    for (name, found) in model.parameters().tensors().unwrap() {
        let expected = body.get(&name).unwrap_or(&before[&name]);
        assert_eq!(values(&found), values(expected), "{name}");
    }
    // A part of a classifier is none.
    body.insert("classifier.bias".to_owned(), before["classifier.bias"].clone());
    weights::write(&path, &body).unwrap();
    let refused = model.start_from(&weights::File::open(&path).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("classifier.weight"), "{refused}");
}

#[test]
fn a_text_longer_than_the_context_is_refused() {
    let model = planned(Bert { context: 4, ..small() }, "none");
    let refused = model.logits(&texts(&[[5, 3, 9, 4, 7]]), &Pass::evaluation());
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("texts of 5 tokens, and the model's context is 4"), "{error}");
}
