//! Mobile networks have the published parameters and byte counts, and train under the papers' plans.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::{Activation, Ledger, Pass};
use packlight_nn::model::{Model, ModelSpec};
use packlight_nn::{Module, Plan};
use packlight_record::{KeptKind, LayerKind};
use toml::Table;

/// The network of this name for images of this size, with these options.
fn spec(name: &str, image: usize, classes: usize, options: Table) -> ModelSpec {
    ModelSpec::named(name, options).unwrap().for_images(3, image, classes).unwrap()
}

fn imagenet() -> Table {
    toml::toml! { stem = "imagenet" }
}

fn planned(spec: &ModelSpec, plan: &str, dtype: DType) -> Model {
    Model::planned(spec, &Plan::parse(plan).unwrap(), 3, dtype, &Device::Cpu).unwrap()
}

fn shape(model: &Model, wanted: &str) -> Vec<usize> {
    let found = model.parameters().named().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is missing")).1.dims().to_vec()
}

fn convolutions(model: &Model) -> usize {
    model.save_points().iter().filter(|layer| layer.kind() == LayerKind::Conv).count()
}

#[test]
fn mobilenet_v2_has_torchvisions_parameters() {
    let model = planned(&spec("mobilenet_v2", 224, 1000, imagenet()), "none", DType::F32);
    assert_eq!(model.parameters().count(), 3_504_872);
    assert_eq!(convolutions(&model), 52);
    let names: Vec<&str> = model.parameters().named().map(|(name, _)| name).collect();
    let expected = [
        "features.0.0.weight",
        "features.0.1.weight",
        "features.0.1.bias",
        "features.1.conv.0.0.weight",
        "features.1.conv.0.1.weight",
        "features.1.conv.0.1.bias",
        "features.1.conv.1.weight",
        "features.1.conv.2.weight",
        "features.1.conv.2.bias",
        "features.2.conv.0.0.weight",
    ];
    assert_eq!(names[..expected.len()], expected);
    assert_eq!(shape(&model, "features.1.conv.0.0.weight"), [32, 1, 3, 3]);
    assert_eq!(shape(&model, "features.17.conv.1.0.weight"), [960, 1, 3, 3]);
    assert_eq!(shape(&model, "features.17.conv.2.weight"), [320, 960, 1, 1]);
    assert_eq!(shape(&model, "features.18.0.weight"), [1280, 320, 1, 1]);
    assert_eq!(shape(&model, "classifier.1.weight"), [1000, 1280]);
    assert_eq!(names.len(), 158);
}

#[test]
fn efficientnet_b0_has_torchvisions_parameters() {
    let model = planned(&spec("efficientnet_b0", 224, 1000, imagenet()), "none", DType::F32);
    assert_eq!(model.parameters().count(), 5_288_548);
    let norms = model.save_points().iter().filter(|layer| layer.kind() == LayerKind::Norm).count();
    assert_eq!(norms, 49);
    let names: Vec<&str> = model.parameters().named().map(|(name, _)| name).collect();
    let expected = [
        "features.0.0.weight",
        "features.0.1.weight",
        "features.0.1.bias",
        "features.1.0.block.0.0.weight",
        "features.1.0.block.0.1.weight",
        "features.1.0.block.0.1.bias",
        "features.1.0.block.1.fc1.weight",
        "features.1.0.block.1.fc1.bias",
        "features.1.0.block.1.fc2.weight",
        "features.1.0.block.1.fc2.bias",
        "features.1.0.block.2.0.weight",
    ];
    assert_eq!(names[..expected.len()], expected);
    assert_eq!(shape(&model, "features.1.0.block.1.fc1.weight"), [8, 32, 1, 1]);
    assert_eq!(shape(&model, "features.3.1.block.1.0.weight"), [240, 1, 5, 5]);
    assert_eq!(shape(&model, "features.7.0.block.2.fc2.weight"), [1152, 48, 1, 1]);
    assert_eq!(shape(&model, "features.7.0.block.3.0.weight"), [320, 1152, 1, 1]);
    assert_eq!(shape(&model, "features.8.0.weight"), [1280, 320, 1, 1]);
    assert_eq!(shape(&model, "classifier.1.weight"), [1000, 1280]);
    assert_eq!(names.len(), 213);
}

#[test]
fn mcunet_has_its_authors_parameters() {
    let model = planned(&spec("mcunet", 224, 1000, imagenet()), "none", DType::F32);
    assert_eq!(model.parameters().count(), 636_232);
    assert_eq!(convolutions(&model), 42);
    let block = |of: &str| shape(&model, &format!("blocks.{of}.conv.weight"));
    assert_eq!(shape(&model, "first_conv.conv.weight"), [16, 3, 3, 3]);
    assert_eq!(block("0.mobile_inverted_conv.depth_conv"), [16, 1, 3, 3]);
    assert_eq!(block("3.mobile_inverted_conv.inverted_bottleneck"), [48, 16, 1, 1]);
    assert_eq!(block("10.mobile_inverted_conv.depth_conv"), [240, 1, 7, 7]);
    assert_eq!(block("13.mobile_inverted_conv.point_linear"), [160, 576, 1, 1]);
    assert_eq!(shape(&model, "classifier.linear.weight"), [1000, 160]);
}

#[test]
fn stages_grow_in_width_and_depth() {
    let table = toml::toml! { width = 8 depth = 1.5 };
    let model = planned(&spec("mobilenet_v2", 32, 10, table), "none", DType::F32);
    // A third block of the second stage; a quarter of its 24 channels.
    assert_eq!(shape(&model, "features.5.conv.2.weight"), [6, 36, 1, 1]);
    let refused = |table| ModelSpec::named("mobilenet_v2", table).unwrap_err().to_string();
    let error = refused(toml::toml! { depth = 0.0 });
    assert!(error.contains("depth: 0 given, expected 0 < depth <= 100"), "{error}");
    let error = refused(toml::toml! { dropout = 1.0 });
    assert!(error.contains("dropout: 1 given, expected 0 <= dropout < 1"), "{error}");
}

#[test]
fn an_efficientnet_drops_samples_of_its_deeper_blocks_in_training() {
    let logits = |stochastic_depth: f64, step| {
        let mut table = Table::new();
        table.insert("width".into(), 4.into());
        table.insert("dropout".into(), 0.0.into());
        table.insert("stochastic_depth".into(), stochastic_depth.into());
        let model = planned(&spec("efficientnet_b0", 16, 4, table), "none", DType::F64);
        let images = Tensor::ones((4, 3, 16, 16), DType::F64, &Device::Cpu).unwrap();
        let pass = Pass::training().with_seed(1, step);
        let logits = model.forward(&Activation::from_tensor(&images, &pass).unwrap()).unwrap();
        values(logits.data())
    };
    assert_eq!(logits(0.0, 1), logits(0.0, 2));
    assert_eq!(logits(0.5, 1), logits(0.5, 1));
    assert_ne!(logits(0.5, 1), logits(0.5, 2));
}

/// The bytes of the inputs of convolutions, as Nguyen et al. (NeurIPS 2024) count: those of 64
/// images of 224 x 224, in MiB.
#[test]
fn the_inputs_of_convolutions_have_the_published_sizes() {
    let mib = |name: &str, plan: &str| {
        let model = planned(&spec(name, 224, 10, imagenet()), plan, DType::F32);
        let ledger = Ledger::new();
        let pass = Pass::training().with_ledger(&ledger);
        let image = Tensor::ones((1, 3, 224, 224), DType::F32, &Device::Cpu).unwrap();
        model.forward(&Activation::from_tensor(&image, &pass).unwrap()).unwrap();
        let of = |layer: &str| model.save_points().iter().find(|l| l.name() == layer).unwrap();
        let entries = ledger.entries();
        let inputs = entries
            .iter()
            .filter(|e| e.kind == KeptKind::Input && of(&e.layer).kind() == LayerKind::Conv);
        (64 * inputs.map(|e| e.bytes.total()).sum::<usize>()) as f64 / (1 << 20) as f64
    };
    for (name, all, last2, last4) in
        [("mobilenet_v2", 1651.836, 15.3125, 28.711), ("mcunet", 632.980, 13.781, 19.523)]
    {
        for (plan, expected) in [("none", all), ("last=2", last2), ("last=4", last4)] {
            let found = mib(name, plan);
            assert!((found - expected).abs() < 5e-4, "{name} {plan}: {found}");
        }
    }
}

/// The gradients of all parameters by name for a batch of small images, and the bytes that the
/// forward pass saves.
fn gradients(name: &str, plan: &str) -> (Vec<(String, Option<Tensor>)>, usize) {
    let model = planned(&spec(name, 16, 4, toml::toml! { width = 4 }), plan, DType::F64);
    let ledger = Ledger::new();
    let pass = Pass::training().with_seed(7, 2).with_ledger(&ledger);
    let count = 4 * 3 * 16 * 16;
    let pixels: Vec<f64> = (0..count).map(|at| ((at * 7919 % 1009) as f64 / 500.0) - 1.0).collect();
    let images = Tensor::from_vec(pixels, (4, 3, 16, 16), &Device::Cpu).unwrap();
    let logits = model.forward(&Activation::from_tensor(&images, &pass).unwrap()).unwrap();
    let saved = ledger.entries().iter().map(|entry| entry.bytes.total()).sum();
    let labels = Tensor::new(&[3u32, 0, 2, 1], &Device::Cpu).unwrap();
    let gradients = model.loss(&logits, &labels).unwrap().backward().unwrap();
    let of = |var: &Var| gradients.get(var).cloned();
    (model.parameters().named().map(|(name, var)| (name.to_owned(), of(var))).collect(), saved)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_plans_of_the_papers_work() {
    for name in ["mobilenet_v2", "efficientnet_b0", "mcunet"] {
        let (exact, whole) = gradients(name, "none");
        assert!(exact.iter().all(|(_, grad)| grad.is_some()), "{name}");

        let (recomputed, _) = gradients(name, "checkpoint=block");
        for ((parameter, exact), (_, found)) in exact.iter().zip(&recomputed) {
            let [exact, found] = [exact, found].map(|grad| values(grad.as_ref().unwrap()));
            assert_eq!(exact, found, "{name}: {parameter}, recomputed");
        }

        let (pooled, saved) = gradients(name, "pool2");
        assert!(saved < whole * 9 / 10, "{name}: {saved} of {whole} bytes");
        for ((parameter, exact), (_, found)) in exact.iter().zip(&pooled) {
            let (exact, found) = (exact.as_ref().unwrap(), found.as_ref().unwrap());
            assert_eq!(exact.dims(), found.dims());
            // Only the weights of convolutions see the pooled inputs.
            if exact.rank() != 4 {
                assert_eq!(values(exact), values(found), "{name}: {parameter}, pooled");
            }
            assert!(values(found).iter().all(|value| value.is_finite()), "{name}: {parameter}");
        }
        assert!(
            exact
                .iter()
                .zip(&pooled)
                .any(|(a, b)| { values(a.1.as_ref().unwrap()) != values(b.1.as_ref().unwrap()) })
        );

        let (last, saved) = gradients(name, "last=2");
        let trained: Vec<&str> =
            last.iter().filter(|(_, grad)| grad.is_some()).map(|(name, _)| name.as_str()).collect();
        let convolutions = trained.iter().filter(|name| name.ends_with(".weight"));
        assert!(convolutions.count() >= 2 && trained.len() < 12, "{name}: {trained:?}");
        assert!(saved < whole / 4, "{name}: {saved} of {whole} bytes");

        for plan in ["gf2", "svd:0.8", "hosvd:0.8", "asi:1MiB", "q8", "resprop:0.1", "actnn:2"] {
            let (found, _) = gradients(name, plan);
            for (parameter, grad) in found {
                let finite = values(&grad.unwrap()).iter().all(|value| value.is_finite());
                assert!(finite, "{name}: {parameter} under {plan}");
            }
        }
    }
}
