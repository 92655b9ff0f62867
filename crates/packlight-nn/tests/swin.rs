//! Swin transformers: torchvision's parameters, images of any size, plans.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Ledger, Pass};
use packlight_codec::Scope;
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::footprint::{Footprint, Step};
use packlight_nn::model::{Inputs, Model, ModelSpec, Swin};
use packlight_nn::{Plan, weights};

fn small() -> Swin {
    Swin { width: 8, depths: vec![2, 2], heads: 2, window: 3, ..Swin::default() }
}

fn planned(options: Swin, plan: &str) -> Model {
    let spec = ModelSpec::new(options).for_images(3, 24, 4).unwrap();
    Model::planned(&spec, &Plan::parse(plan).unwrap(), 1, DType::F64, &Device::Cpu).unwrap()
}

fn images(shape: &[usize]) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn logits(model: &Model, images: &Tensor) -> Vec<Vec<f64>> {
    let inputs = Inputs::Images(images.clone());
    model.logits(&inputs, &Pass::evaluation()).unwrap().data().to_vec2().unwrap()
}

#[test]
fn parameters_are_those_of_torchvision() {
    let spec = ModelSpec::new(Swin::default()).for_images(3, 224, 1000).unwrap();
    let plan = Plan::parse("none").unwrap();
    let found = Footprint::of(&spec, &plan, &Step::of_batch(1)).unwrap();
    let count: usize = found.layers.iter().map(|layer| layer.parameters).sum();
    assert_eq!(count, 28_288_354);
    let model = Model::blank(&spec, &plan, DType::F32).unwrap();
    let shapes: BTreeMap<&str, Vec<usize>> =
        model.parameters().named().map(|(name, var)| (name, var.dims().to_vec())).collect();
    for (name, shape) in [
        ("features.0.0.weight", vec![96, 3, 4, 4]),
        ("features.0.2.bias", vec![96]),
        ("features.1.1.attn.relative_position_bias_table", vec![169, 3]),
        ("features.2.norm.weight", vec![384]),
        ("features.2.reduction.weight", vec![192, 384]),
        ("features.5.5.attn.qkv.weight", vec![1152, 384]),
        ("features.7.1.mlp.3.bias", vec![768]),
        ("norm.weight", vec![768]),
        ("head.weight", vec![1000, 768]),
    ] {
        assert_eq!(shapes[name], shape, "{name}");
    }
}

#[test]
fn a_state_dict_with_its_index_loads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swin.safetensors");
    let (model, other) = (planned(small(), "none"), planned(small(), "none"));
    for (_, var) in other.parameters().named() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    let mut stored = model.parameters().tensors().unwrap();
    let index = Tensor::zeros(81, DType::I64, &Device::Cpu).unwrap();
    stored.insert("features.1.0.attn.relative_position_index".to_owned(), index);
    weights::write(&path, &stored).unwrap();
    other.load(&weights::File::open(&path).unwrap()).unwrap();
    let images = images(&[1, 3, 24, 24]);
    assert_eq!(logits(&model, &images), logits(&other, &images));
}

#[test]
fn images_of_any_size_and_shape_are_taken() {
    let model = planned(small(), "none");
    for shape in [[1, 3, 4, 4], [2, 3, 20, 36], [1, 3, 27, 24]] {
        let found = logits(&model, &images(&shape));
        assert!(found.iter().flatten().all(|value| value.is_finite()), "{shape:?}");
    }
}

#[test]
fn auxiliary_levels_are_those_of_a_vision_transformer() {
    let model = planned(Swin { depths: vec![1], ..small() }, "none");
    let covered = |level| {
        let layers = model.save_points().iter();
        let covered = layers.filter(|layer| layer.is_in(Scope::Auxiliary(level)));
        covered.map(|layer| layer.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(covered(1), ["features.1.0.mlp.3"]);
    assert_eq!(covered(2), ["features.1.0.mlp.0", "features.1.0.mlp.3"]);
    assert_eq!(covered(3)[0], "features.1.0.attn.proj");
    assert_eq!(covered(4)[0], "features.1.0.attn.qkv");
}

#[test]
fn plans_pack_freeze_and_recompute() {
    let step = |plan: &str| {
        let model = planned(small(), plan);
        let ledger = Ledger::new();
        let pass = Pass::training().with_seed(1, 2).with_ledger(&ledger);
        let logits = model.logits(&Inputs::Images(images(&[6, 3, 20, 20])), &pass).unwrap();
        let labels = Tensor::new(&[2u32, 0, 1, 3, 1, 2], &Device::Cpu).unwrap();
        let loss = model.loss(&logits, &labels).unwrap();
        drop(logits);
        let store = loss.backward().unwrap();
        let named = model.parameters().named();
        let gradients: BTreeMap<String, Vec<f64>> = named
            .filter_map(|(name, var)| Some((name.to_owned(), store.get(var)?)))
            .map(|(name, g)| (name, g.flatten_all().unwrap().to_vec1().unwrap()))
            .collect();
        let entries = ledger.entries();
        let kept: usize = entries.iter().filter(|e| !e.again).map(|e| e.bytes.total()).sum();
        (loss.to_scalar::<f64>().unwrap(), gradients, kept)
    };
    let exact = step("none");
    for plan in ["linear=q8,attention=q8,norm=q4", "asa4", "default=mesa", "last=2"] {
        let (loss, gradients, kept) = step(plan);
        assert_eq!(loss == exact.0, plan != "asa4", "{plan}");
        assert!(gradients.values().flatten().all(|value| value.is_finite()), "{plan}");
        assert!(kept < exact.2, "{plan}: {kept} bytes, {} without it", exact.2);
        let expected = if plan == "last=2" { 6 } else { exact.1.len() };
        assert_eq!(gradients.len(), expected, "{plan}");
    }
    // Samples that skip a block skip it again.
    for plan in ["checkpoint=block", "recompute=features.2:features.3.*", "checkpoint=sqrt"] {
        let (loss, gradients, kept) = step(plan);
        assert_eq!((loss, &gradients), (exact.0, &exact.1), "{plan}");
        assert!(kept < exact.2, "{plan}");
    }
}
