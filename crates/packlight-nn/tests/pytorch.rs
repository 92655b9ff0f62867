//! Small networks give PyTorch's loss and gradients: the files in `fixtures`, which `make.py`,
//! `make_torchvision.py` and `make_transformers.py` there write.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::Pass;
use packlight_nn::layer::Nonlinearity;
use packlight_nn::model::{
    Bert, EfficientnetB0, Gpt, Inputs, Mcunet, MobilenetV2, Model, ModelSpec, Resnet18, Resnet50,
    Swin, Transformer, Vit,
};
use packlight_nn::{Plan, weights};

/// In f64 all that is lost is what the files round to f32.
const TOLERANCES: [(DType, f64); 2] = [(DType::F32, 1e-4), (DType::F64, 1e-6)];

/// Of networks that begin with blocks of one channel: the norm behind removes the channel's scale, and its
/// gradient is what remains of sums that cancel, of which f32 keeps less than a digit.
const CANCELLING: [(DType, f64); 2] = [(DType::F32, 0.25), (DType::F64, 1e-6)];

/// A gradient below this is one that would be 0 but for rounding in f64.
const ZERO: f64 = 1e-12;

/// Compares the loss and all gradients of the model in the file called `name`. Where the file has a
/// gradient under the name of `plan`, that is what the plan is to make of it.
fn compare(name: &str, spec: &ModelSpec, plan: &str) {
    compare_within(name, spec, plan, TOLERANCES);
}

fn compare_within(name: &str, spec: &ModelSpec, plan: &str, tolerances: [(DType, f64); 2]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}"));
    let fixture = weights::read(&path.with_extension("safetensors"), &Device::Cpu).unwrap();
    for (dtype, tolerance) in tolerances {
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(spec, &plan, 1, dtype, &Device::Cpu).unwrap();
        set_parameters(&model, &fixture);
        let inputs = match (fixture.get("input"), fixture.get("tokens")) {
            (Some(images), _) => Inputs::Images(images.to_dtype(dtype).unwrap()),
            (_, Some(text)) => Inputs::Text(tokens(text)),
            _ => Inputs::Pairs { source: tokens(&fixture["src"]), target: tokens(&fixture["tgt"]) },
        };
        let logits = model.logits(&inputs, &Pass::training()).unwrap();
        let loss = model.loss(&logits, &tokens(&fixture["labels"])).unwrap();
        let what = |of: &str| format!("{name} {plan} {dtype:?}: {of}");
        let error = relative_error(&loss, &fixture["loss"]);
        assert!(error < tolerance, "{}: {error:e}", what("loss"));
        let gradients = loss.backward().unwrap();
        let mut compressed = 0;
        for (parameter, var) in model.parameters().named() {
            let exact = &fixture[&format!("grad.{parameter}")];
            let under_plan = fixture.get(&format!("{plan}.{parameter}"));
            compressed += usize::from(under_plan.is_some());
            let found = gradients.get(var).unwrap();
            // A softmax does not see what is added to all of a row's scores, the keys' bias, nor a norm
            // what is added to a channel, as by the bias of a norm before it.
            if parameter.ends_with("qkv_nets.1.bias") || largest(exact) < ZERO {
                assert!(largest(found) < tolerance.min(1e-4), "{}", what(parameter));
                continue;
            }
            let error = relative_error(found, under_plan.unwrap_or(exact));
            assert!(error < tolerance, "{}: {error:e}", what(parameter));
        }
        let plans = format!("{plan}.");
        let expected = fixture.keys().filter(|name| name.starts_with(&plans)).count();
        assert_eq!(expected > 0, plan.to_string() != "none");
        assert_eq!(compressed, expected, "{}", what("gradients under the plan"));
    }
}

fn tokens(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::U32).unwrap()
}

fn set_parameters(model: &Model, fixture: &BTreeMap<String, Tensor>) {
    let mut tensors = model.parameters().tensors().unwrap(); // the buffers stay as they are
    for (name, _) in model.parameters().named() {
        tensors.insert(name.to_owned(), fixture[&format!("param.{name}")].clone());
    }
    model.parameters().set(&tensors).unwrap();
    let parameters = fixture.keys().filter(|name| name.starts_with("param.")).count();
    assert_eq!(parameters, model.parameters().named().count());
}

fn largest(tensor: &Tensor) -> f64 {
    let largest = tensor.abs().unwrap().max_all().unwrap().to_dtype(DType::F64).unwrap();
    largest.to_scalar().unwrap()
}

fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let flat = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (found, expected) = (flat(found).unwrap(), flat(expected).unwrap());
    let difference: f64 = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
    (difference / expected.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

#[test]
fn a_residual_network_agrees_with_pytorch() {
    let spec = ModelSpec::new(Resnet18 { width: 2, ..Resnet18::default() });
    let spec = spec.for_images(3, 16, 4).unwrap();
    compare("resnet18", &spec, "none");
    compare("resnet18", &spec, "pool2");
}

#[test]
fn a_residual_network_of_bottleneck_blocks_agrees_with_pytorch() {
    let spec = ModelSpec::new(Resnet50 { width: 2, ..Resnet50::default() });
    compare("resnet50", &spec.for_images(3, 16, 4).unwrap(), "none");
}

#[test]
fn a_network_of_inverted_residual_blocks_agrees_with_pytorch() {
    let spec = MobilenetV2 { width: 2, dropout: 0.0, ..MobilenetV2::default() };
    let spec = ModelSpec::new(spec).for_images(3, 16, 4).unwrap();
    compare_within("mobilenet_v2", &spec, "none", CANCELLING);
    compare_within("mobilenet_v2", &spec, "pool2", CANCELLING);
}

#[test]
fn an_efficientnet_agrees_with_pytorch() {
    let usual = EfficientnetB0::default();
    let spec = EfficientnetB0 { width: 2, dropout: 0.0, stochastic_depth: 0.0, ..usual };
    let spec = ModelSpec::new(spec).for_images(3, 16, 4).unwrap();
    compare_within("efficientnet_b0", &spec, "none", CANCELLING);
}

#[test]
fn an_mcunet_agrees_with_pytorch() {
    let spec = ModelSpec::new(Mcunet { width: 2, ..Mcunet::default() });
    compare_within("mcunet", &spec.for_images(3, 16, 4).unwrap(), "none", CANCELLING);
}

#[test]
fn a_vision_transformer_agrees_with_pytorch() {
    let spec = ModelSpec::new(Vit { width: 8, depth: 2, heads: 2, ..Vit::default() });
    compare("vit", &spec.for_images(3, 8, 4).unwrap(), "none");
}

#[test]
fn a_transformer_of_shifted_windows_agrees_with_torchvision() {
    let swin = Swin { width: 8, depths: vec![2, 2], heads: 2, window: 3, ..Swin::default() };
    let spec = ModelSpec::new(Swin { stochastic_depth: 0.0, ..swin });
    compare("swin", &spec.for_images(3, 20, 4).unwrap(), "none");
}

#[test]
fn a_transformer_agrees_with_pytorch() {
    let spec = Transformer { width: 8, depth: 1, heads: 2, dropout: 0.0, ..Transformer::default() };
    let spec = ModelSpec::new(spec);
    compare("transformer", &spec.for_sequences(11, 9).unwrap(), "none");
}

#[test]
fn a_language_model_agrees_with_transformers() {
    let tied = Gpt { width: 8, depth: 2, heads: 2, context: 6, dropout: 0.0, ..Gpt::default() };
    compare("gpt", &ModelSpec::new(tied.clone()).for_text(11).unwrap(), "none");
    let untied = Gpt { tied: false, activation: Nonlinearity::Gelu, ..tied };
    compare("gpt_untied", &ModelSpec::new(untied).for_text(11).unwrap(), "none");
}

#[test]
fn a_classifier_of_texts_agrees_with_transformers() {
    let bert = Bert { width: 8, depth: 2, heads: 2, context: 6, dropout: 0.0, ..Bert::default() };
    compare("bert", &ModelSpec::new(bert).for_labelled_text(11, 3).unwrap(), "none");
}
