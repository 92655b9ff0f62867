//! `packlight grads` against PyTorch's answers and the library's, and what it refuses.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use candle_core::{DType, Device, Tensor};
use common::{folder_from, json, packlight, stderr};
use packlight::autograd::Pass;
use packlight::nn::layer::Nonlinearity;
use packlight::nn::model::{
    Bert, Gpt, Inputs, Mixer, Mlp, Resnet18, Resnet20, Takes, Transformer, Vit,
};
use packlight::nn::{Model, ModelSpec, Plan, weights};

const FIXTURE: &str = "resnet18-w8-noise32.safetensors";
/// PyTorch's own f32 is within 3e-5 of f64 on these tensors.
const TOLERANCE: f64 = 1e-4;

fn grads(input: &Path, plan: &str, output: &Path) -> Output {
    packlight(["grads", "--model", "resnet18", "--stem", "cifar", "--width", "8", "--json"])
        .args(["--plan", plan, "--input"])
        .arg(input)
        .arg("--output")
        .arg(output)
        .output()
        .unwrap()
}

fn read(path: &Path) -> BTreeMap<String, Tensor> {
    weights::read(path, &Device::Cpu).unwrap()
}

fn relative_error(expected: &Tensor, found: &Tensor) -> f64 {
    assert_eq!(expected.dims(), found.dims());
    let values = |t: &Tensor| {
        t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let (expected, found) = (values(expected), values(found));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut expected.iter().zip(&found).map(|(e, f)| e - f)) / norm(&mut expected.iter().copied())
}

#[test]
fn agrees_with_pytorch_for_every_parameter_and_every_plan() {
    let Some(fixtures) = folder_from("PACKLIGHT_FIXTURES", &[FIXTURE]) else { return };
    let fixture = fixtures.join(FIXTURE);
    let expected = read(&fixture);
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.safetensors");
    for (plan, method) in [
        ("none", "none"),
        ("pool2", "pool2"),
        ("pool4", "pool4"),
        ("svd:0.8", "svd80"),
        ("hosvd:0.8", "hosvd80"),
        ("hosvd:0.9", "hosvd90"),
    ] {
        let summary = json(&grads(&fixture, plan, &output));
        assert_eq!(summary["gradients"], 62);
        let found = read(&output);
        assert_eq!(found.len(), 63);
        assert_eq!(found["loss"].dims(), [1]);
        assert!(relative_error(&expected["loss"], &found["loss"]) < 1e-6);
        for (name, gradient) in &found {
            let Some(name) = name.strip_prefix("grad.") else { continue };
            // What a codec does not touch has its exact gradient under every plan.
            let answer = expected
                .get(&format!("grad.{method}.{name}"))
                .unwrap_or_else(|| &expected[&format!("grad.exact.{name}")]);
            let error = relative_error(answer, gradient);
            assert!(error < TOLERANCE, "{plan}: {name}: {error:e}");
        }
    }
}

fn model(spec: &ModelSpec) -> Model {
    Model::new(spec, 1, DType::F32, &Device::Cpu).unwrap()
}

fn parameters(model: &Model) -> impl Iterator<Item = (String, Tensor)> {
    let named = model.parameters().named();
    named.map(|(name, var)| (format!("param.{name}"), var.as_detached_tensor()))
}

/// Two images of four classes.
fn of_images() -> Vec<(&'static str, Tensor)> {
    let images = Tensor::arange(0f32, 384.0, &Device::Cpu).unwrap();
    let images = (images / 384.0).unwrap().reshape((2, 3, 8, 8)).unwrap();
    vec![("input", images), ("labels", Tensor::new(&[0i64, 3], &Device::Cpu).unwrap())]
}

fn tokens<const N: usize>(rows: &[[i64; N]]) -> Tensor {
    Tensor::from_slice(rows.as_flattened(), (rows.len(), N), &Device::Cpu).unwrap()
}

/// Two pairs of sequences, one shorter than the other, sources longer than targets.
fn of_sequences() -> Vec<(&'static str, Tensor)> {
    let source = Tensor::new(&[[5i64, 3, 9, 4], [7, 2, 0, 0]], &Device::Cpu).unwrap();
    let (target, labels) = (tokens(&[[1, 6, 4], [1, 8, 0]]), tokens(&[[6, 4, 2], [8, 2, 0]]));
    vec![("src", source), ("tgt", target), ("labels", labels)]
}

fn of_text() -> Vec<(&'static str, Tensor)> {
    vec![("tokens", tokens(&[[1, 6, 4], [1, 8, 0]])), ("labels", tokens(&[[6, 4, 2], [8, 0, 2]]))]
}

/// Two texts of four classes, one shorter than the other.
fn of_texts() -> Vec<(&'static str, Tensor)> {
    let labels = Tensor::new(&[2i64, 3], &Device::Cpu).unwrap();
    vec![("tokens", tokens(&[[1, 6, 4], [1, 8, 0]])), ("labels", labels)]
}

/// The loss and all gradients of a model by the library itself.
fn by_library(
    spec: &ModelSpec,
    plan: &str,
    inputs: &Inputs,
    labels: &Tensor,
) -> (f64, Vec<Tensor>) {
    let model = model(spec);
    Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
    let logits = model.logits(inputs, &Pass::training()).unwrap();
    let loss = model.loss(&logits, labels).unwrap();
    let store = loss.backward().unwrap();
    let gradients = model.parameters().named().map(|(_, var)| store.get(var).unwrap().clone());
    (f64::from(loss.to_scalar::<f32>().unwrap()), gradients.collect())
}

/// The smallest model of each architecture, and how the command line says so.
fn all() -> [(ModelSpec, &'static str); 9] {
    let images = |spec: ModelSpec| spec.for_images(3, 8, 4).unwrap();
    let mixer = Mixer { width: 8, depth: 1, ..Mixer::default() };
    let silu = Mixer { activation: Nonlinearity::Silu, ..mixer.clone() };
    let vit = Vit { width: 8, depth: 1, heads: 2, ..Vit::default() };
    let transformer =
        Transformer { width: 8, depth: 1, heads: 2, dropout: 0.0, ..Transformer::default() };
    let transformer = ModelSpec::new(transformer).for_sequences(10, 9).unwrap();
    let bert = Bert { width: 8, depth: 1, heads: 2, context: 4, dropout: 0.0, ..Bert::default() };
    let gpt = Gpt { width: 8, depth: 1, heads: 2, context: 4, dropout: 0.0, ..Gpt::default() };
    [
        (images(ModelSpec::new(Resnet18 { width: 8, ..Resnet18::default() })), "--width 8"),
        (images(ModelSpec::new(Resnet20 { width: 8 })), "--width 8"),
        (images(ModelSpec::new(Mlp { hidden: vec![6, 5] })), "--hidden 6,5"),
        (
            ModelSpec::new(bert).for_labelled_text(9, 4).unwrap(),
            "--width 8 --depth 1 --heads 2 --context 4 --dropout 0",
        ),
        (ModelSpec::new(gpt).for_text(9).unwrap(), "--width 8 --depth 1 --heads 2 --context 4"),
        (images(ModelSpec::new(vit)), "--width 8 --depth 1 --heads 2"),
        (images(ModelSpec::new(mixer)), "--width 8 --depth 1"),
        (transformer, "--width 8 --depth 1 --heads 2"),
        (images(ModelSpec::new(silu)), "--width 8 --depth 1 --activation silu"),
    ]
}

/// Runs `packlight grads` with `tensors` and the parameters of the model.
fn of_model(
    (spec, options): &(ModelSpec, &str),
    plan: &str,
    tensors: &BTreeMap<String, Tensor>,
    dir: &Path,
) -> Output {
    let (input, output) = (dir.join("in.safetensors"), dir.join("out.safetensors"));
    weights::write(&input, tensors).unwrap();
    packlight(["grads", "--json", "--plan", plan, "--model", spec.name()])
        .args(options.split(' '))
        .arg("--input")
        .arg(&input)
        .arg("--output")
        .arg(&output)
        .output()
        .unwrap()
}

fn with_parameters(
    batch: Vec<(&'static str, Tensor)>,
    spec: &ModelSpec,
) -> BTreeMap<String, Tensor> {
    let batch = batch.into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
    batch.chain(parameters(&model(spec))).collect()
}

#[test]
fn gradients_are_the_library_s_for_every_architecture() {
    let dir = tempfile::tempdir().unwrap();
    for case in all() {
        let spec = &case.0;
        let batch = match spec.takes() {
            Takes::Pairs { .. } => of_sequences(),
            Takes::Text => of_text(),
            Takes::LabelledText { .. } => of_texts(),
            _ => of_images(),
        };
        for plan in ["none", "linear=pool2"] {
            assert_of_library(&case, plan, &batch, dir.path());
        }
    }
}

/// Asserts that `packlight grads` gives the gradients of the library for this batch.
fn assert_of_library(
    case: &(ModelSpec, &str),
    plan: &str,
    batch: &[(&'static str, Tensor)],
    dir: &Path,
) {
    let spec = &case.0;
    let name = format!("{} {plan}", spec.name());
    let said = json(&of_model(case, plan, &with_parameters(batch.to_vec(), spec), dir));
    let of = |name| batch.iter().find(|(found, _)| *found == name).unwrap().1.clone();
    let numbers = |name| of(name).to_dtype(DType::U32).unwrap();
    let inputs = match spec.takes() {
        Takes::Pairs { .. } => Inputs::Pairs { source: numbers("src"), target: numbers("tgt") },
        Takes::Text | Takes::LabelledText { .. } => Inputs::Text(numbers("tokens")),
        _ => Inputs::Images(of("input")),
    };
    let (loss, expected) = by_library(spec, plan, &inputs, &numbers("labels"));
    assert!((said["loss"].as_f64().unwrap() - loss).abs() < 1e-6, "{name}");
    assert_eq!(said["gradients"], expected.len());
    let found = read(&dir.join("out.safetensors"));
    for ((parameter, _), expected) in model(spec).parameters().named().zip(&expected) {
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let found = values(&found[&format!("grad.{parameter}")]);
        assert_eq!(found, values(expected), "{name}: {parameter}");
    }
}

/// A codec that looks at a whole tensor would see padding as so many tokens of the sequence.
#[test]
fn each_side_of_a_pair_is_as_long_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let [.., transformer, _] = all();
    let batch = [
        ("src", tokens(&[[5, 3, 9, 4, 7, 7, 2, 6, 8]])),
        ("tgt", tokens(&[[1, 6, 4, 8, 3, 5, 7]])),
        ("labels", tokens(&[[6, 4, 8, 3, 5, 7, 2]])),
    ];
    for plan in ["topk:0.1", "velora:4", "linear=svd:0.5"] {
        assert_of_library(&transformer, plan, &batch, dir.path());
    }
}

#[test]
fn what_overflows_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let [_, _, mlp, ..] = all();
    // Weights at the end of f32 make logits that are beyond it. Behind hidden features next to 0 they
    // do not, but gradients of the first weight are, which large pixels multiply.
    let large = [("param.fc3.weight", 3e38), ("param.fc3.bias", 3e38)];
    let hidden = [
        ("param.fc1.weight", 1e-38),
        ("param.fc1.bias", 1e-36),
        ("param.fc2.weight", 1.0),
        ("param.fc2.bias", 0.0),
        ("input", 1e6),
    ];
    for (changes, words) in
        [(&large[..], "the loss is "), (&hidden, "the gradient of fc1.weight is not finite")]
    {
        let mut tensors = with_parameters(of_images(), &mlp.0);
        for (name, value) in changes {
            let filled = (tensors[*name].zeros_like().unwrap() + *value).unwrap();
            tensors.insert((*name).to_owned(), filled);
        }
        if changes.len() > 2 {
            let rows = Tensor::zeros((4, 5), DType::F32, &Device::Cpu).unwrap();
            let first = (rows.narrow(0, 0, 1).unwrap() + 1e38).unwrap();
            let rest = rows.narrow(0, 1, 3).unwrap();
            let rows = Tensor::cat(&[&first, &rest], 0).unwrap();
            tensors.insert("param.fc3.weight".into(), rows);
        }
        let result = of_model(&mlp, "none", &tensors, dir.path());
        let said = stderr(&result);
        assert_eq!(result.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.contains("in.safetensors"), "{said}");
        assert!(said.contains("something overflowed on the way"), "{said}");
        assert!(!dir.path().join("out.safetensors").exists());
    }
}

#[test]
fn what_is_shared_out_among_layers_is_measured_first() {
    let dir = tempfile::tempdir().unwrap();
    let case = &all()[0];
    let tensors = with_parameters(of_images(), &case.0);
    let gradient = |plan: &str| {
        json(&of_model(case, plan, &tensors, dir.path()));
        read(&dir.path().join("out.safetensors")).remove("grad.layer3.0.conv2.weight").unwrap()
    };
    // Without what they measure, one keeps inputs whole, the other has the same bits everywhere.
    for (shared, otherwise) in [("asi:0.02MiB", "none"), ("gact:4", "q4")] {
        let error = relative_error(&gradient(otherwise), &gradient(shared));
        assert!(error > 1e-3, "{shared} is {otherwise}: {error:e}");
    }
}

#[test]
fn what_a_transformer_s_batch_lacks_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let [.., vit, _, transformer, _] = all();
    let tensors = with_parameters(of_sequences(), &transformer.0);
    let float = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let table = "param.src_embedding.embeddings_table.weight";
    for (name, put, words) in [
        ("src", None, "`src` (the source tokens, integers of [N, length]) is missing"),
        ("tgt", None, "`tgt` (the tokens that the decoder reads, integers of [2, length])"),
        ("labels", None, "`labels` (the tokens that it is to say, integers of [2, 3])"),
        (table, None, table),
        ("param.decoder_generator.linear.bias", None, "`param.decoder_generator.linear.bias`"),
        ("src", Some(float), "`src` is F32 of [2, 3], expected integers of [N, length]"),
        ("src", Some(tokens(&[[1, 2, 10], [3, 0, 0]])), "`src` holds 10, expected 0 to 9"),
        (
            "src",
            Some(tokens(&[[1, 2, 3], [3, 0, 4]])),
            "`src` has padding (0) before a token in row 1",
        ),
        (
            "tgt",
            Some(tokens(&[[1, 2, 3]])),
            "`tgt` is I64 of [1, 3], expected integers of [2, length]",
        ),
        ("tgt", Some(tokens(&[[1, 2, 3], [1, 9, 0]])), "`tgt` holds 9, expected 0 to 8"),
        (
            "labels",
            Some(tokens(&[[0, 0, 0], [0, 0, 0]])),
            "expected at least one label that is not ignored",
        ),
    ] {
        let mut tensors = tensors.clone();
        match put {
            Some(tensor) => tensors.insert(name.to_owned(), tensor),
            None => tensors.remove(name),
        };
        let result = of_model(&transformer, "none", &tensors, dir.path());
        assert_eq!(result.status.code(), Some(1));
        assert!(stderr(&result).contains(words), "`{words}` is missing in: {}", stderr(&result));
        assert!(stderr(&result).contains("in.safetensors"), "{}", stderr(&result));
    }
    let mut tensors = with_parameters(of_images(), &vit.0);
    tensors.insert("input".into(), tensors["input"].narrow(3, 0, 4).unwrap());
    let said = stderr(&of_model(&vit, "none", &tensors, dir.path()));
    assert!(said.contains("images of 8 x 4, vit takes square ones"), "{said}");
}

/// A batch with all parameters of the smallest ResNet-18, changed by `change`.
fn batch(dir: &Path, change: impl Fn(&mut BTreeMap<String, Tensor>)) -> std::path::PathBuf {
    let spec = ModelSpec::new(Resnet18 { width: 8, ..Resnet18::default() });
    let model = model(&spec.for_images(3, 8, 4).unwrap());
    let tensors = of_images().into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let mut tensors = tensors.chain(parameters(&model)).collect();
    change(&mut tensors);
    let path = dir.join("in.safetensors");
    weights::write(&path, &tensors).unwrap();
    path
}

#[test]
fn labels_may_be_any_integers() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.safetensors");
    let mut losses = Vec::new();
    for dtype in [DType::I64, DType::I32, DType::U32, DType::U8] {
        let input = batch(dir.path(), |tensors| {
            let labels = tensors["labels"].to_dtype(dtype).unwrap();
            tensors.insert("labels".into(), labels);
        });
        losses.push(json(&grads(&input, "pool2", &output))["loss"].clone());
    }
    assert!(losses.iter().all(|loss| *loss == losses[0] && loss.as_f64().unwrap() > 0.0));
}

type Change = Box<dyn Fn(&mut BTreeMap<String, Tensor>)>;

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let labels = |values: &[i64]| Tensor::new(values, &Device::Cpu).unwrap();
    let with = |shape: &[usize], at: usize, value: f32| {
        let mut values = vec![0f32; shape.iter().product()];
        values[at] = value;
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let put = |name: &'static str, tensor: Tensor| {
        move |tensors: &mut BTreeMap<String, Tensor>| {
            tensors.insert(name.into(), tensor.clone());
        }
    };
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|t| drop(t.remove("input"))), "`input`"),
        (Box::new(|t| drop(t.remove("labels"))), "`labels`"),
        (
            Box::new(|t| drop(t.remove("param.layer2.0.conv1.weight"))),
            "`param.layer2.0.conv1.weight`",
        ),
        (
            Box::new(put("param.bn1.weight", zeros(&[9]))),
            "`param.bn1.weight` has shape [9], expected [8]",
        ),
        (Box::new(put("param.extra", zeros(&[1]))), "`extra`"),
        (Box::new(put("input", zeros(&[2, 3, 8]))), "expected f32 of (N,C,H,W)"),
        (Box::new(put("labels", labels(&[0]))), "expected integers of [2]"),
        (Box::new(put("labels", labels(&[0, 4]))), "holds 4, expected 0 to 3"),
        (Box::new(put("labels", labels(&[0, -1]))), "holds -1, expected 0 to 3"),
        (Box::new(put("labels", zeros(&[2]))), "expected integers of [2]"),
        (
            Box::new(put("input", with(&[2, 3, 8, 8], 70, f32::NAN))),
            "`input` holds NaN at [0, 1, 0, 6], expected finite values",
        ),
        (
            Box::new(put("param.bn1.weight", with(&[8], 5, f32::NEG_INFINITY))),
            "`param.bn1.weight` holds -inf at [5], expected finite values",
        ),
    ];
    for (change, words) in cases {
        let input = batch(dir.path(), change);
        let output = dir.path().join("out.safetensors");
        let result = grads(&input, "none", &output);
        assert_eq!(result.status.code(), Some(1));
        assert!(stderr(&result).contains(words), "`{words}` is missing in: {}", stderr(&result));
        assert!(stderr(&result).contains("in.safetensors"), "{}", stderr(&result));
        assert!(!output.exists());
    }
    let input = batch(dir.path(), |_| ());
    std::fs::write(&input, &std::fs::read(&input).unwrap()[..1000]).unwrap();
    let result = grads(&input, "none", &dir.path().join("out.safetensors"));
    assert!(stderr(&result).contains("not a safetensors file"), "{}", stderr(&result));
}
