//! The models have PyTorch's parameters, and a seed gives the same ones each time.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass};
use packlight_nn::layer::Nonlinearity;
use packlight_nn::model::{Architecture, Model, ModelSpec, Stem};
use packlight_nn::{Module, Parameters};

fn spec(name: Architecture, classes: usize) -> ModelSpec {
    ModelSpec { classes: Some(classes), in_channels: Some(3), ..ModelSpec::new(name) }
}

fn model(spec: &ModelSpec, seed: u64) -> Model {
    Model::new(spec, seed, DType::F32, &Device::Cpu).unwrap()
}

fn names(parameters: &Parameters) -> Vec<String> {
    parameters.named().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn resnet18_has_torchvisions_parameters() {
    let spec = ModelSpec { stem: Some(Stem::Imagenet), ..spec(Architecture::Resnet18, 1000) };
    let model = model(&spec, 1);
    assert_eq!(model.parameters().count(), 11_689_512);
    let names = names(model.parameters());
    assert_eq!(names.len(), 62);
    assert_eq!(
        names[..10],
        [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "layer1.0.conv1.weight",
            "layer1.0.bn1.weight",
            "layer1.0.bn1.bias",
            "layer1.0.conv2.weight",
            "layer1.0.bn2.weight",
            "layer1.0.bn2.bias",
            "layer1.1.conv1.weight",
        ]
    );
    assert!(names.contains(&"layer4.0.downsample.0.weight".to_owned()));
    assert!(names.contains(&"layer4.0.downsample.1.bias".to_owned()));
    assert!(!names.contains(&"layer1.0.downsample.0.weight".to_owned()));
    assert_eq!(names[60..], ["fc.weight", "fc.bias"]);
    let shape = |wanted: &str| {
        let found = model.parameters().named().find(|(name, _)| *name == wanted);
        found.unwrap().1.dims().to_vec()
    };
    assert_eq!(shape("conv1.weight"), [64, 3, 7, 7]);
    assert_eq!(shape("layer3.0.downsample.0.weight"), [256, 128, 1, 1]);
    assert_eq!(shape("fc.weight"), [1000, 512]);
}

#[test]
fn resnet20_has_the_cifar_networks_parameters() {
    let model = model(&spec(Architecture::Resnet20, 10), 1);
    assert_eq!(model.parameters().count(), 269_722);
    let numbers: usize = model.parameters().buffers().map(|(_, var)| var.elem_count()).sum();
    assert_eq!(model.parameters().count() + numbers, 271_098);
    let names = names(model.parameters());
    assert!(names.contains(&"linear.bias".to_owned()));
    assert!(!names.iter().any(|name| name.contains("downsample")));
}

#[test]
fn layers_stand_in_forward_order() {
    let spec = ModelSpec { width: Some(4), ..spec(Architecture::Resnet18, 10) };
    let model = model(&spec, 1);
    let layers: Vec<&str> = model.save_points().iter().map(|layer| layer.name()).collect();
    assert_eq!(layers[..4], ["conv1", "bn1", "relu", "layer1.0.conv1"]);
    let start = layers.iter().position(|name| *name == "layer2.0.conv1").unwrap();
    assert_eq!(
        layers[start..start + 8],
        [
            "layer2.0.conv1",
            "layer2.0.bn1",
            "layer2.0.relu1",
            "layer2.0.conv2",
            "layer2.0.bn2",
            "layer2.0.downsample.0",
            "layer2.0.downsample.1",
            "layer2.0.relu2",
        ]
    );
    assert_eq!(layers[layers.len() - 2..], ["fc", "loss"]);
}

#[test]
fn every_model_gives_logits_and_a_loss() {
    let pass = Pass::evaluation();
    for name in Architecture::ALL.into_iter().filter(|name| !name.takes_sequences()) {
        for stem in [None, Some(Stem::Imagenet)] {
            let spec = ModelSpec { stem, ..ModelSpec::new(name) };
            if spec.validate().is_err() {
                continue; // only ResNet-18 has a choice of stem
            }
            let spec = spec.for_images(3, 32, 7).unwrap();
            let narrow = ModelSpec { width: narrow(name), heads: heads(name), ..spec };
            let model = model(&narrow, 1);
            let images = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
            let input = Activation::from_tensor(&images, &pass).unwrap();
            let logits = model.forward(&input).unwrap();
            assert_eq!(logits.dims(), [2, 7], "{name:?}");
            let labels = Tensor::new(&[0u32, 6], &Device::Cpu).unwrap();
            let loss = model.loss(&logits, &labels).unwrap().into_tensor().unwrap();
            assert!(loss.to_scalar::<f32>().unwrap().is_finite());
        }
    }
}

fn narrow(name: Architecture) -> Option<usize> {
    (name != Architecture::Mlp).then_some(4)
}

fn heads(name: Architecture) -> Option<usize> {
    (name == Architecture::Vit).then_some(2)
}

#[test]
fn the_same_seed_gives_the_same_parameters() {
    let spec = ModelSpec { width: Some(4), ..spec(Architecture::Resnet20, 10) };
    let values = |seed| {
        let tensors = model(&spec, seed).parameters().tensors().unwrap();
        tensors["layer2.1.conv1.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(values(1), values(1));
    assert_ne!(values(1), values(2));
}

#[test]
fn f32_and_f64_start_at_the_same_point() {
    let spec = ModelSpec { width: Some(4), ..spec(Architecture::Resnet20, 10) };
    let tensors = |dtype| {
        let model = Model::new(&spec, 3, dtype, &Device::Cpu).unwrap();
        model.parameters().tensors().unwrap()
    };
    let (narrow, wide) = (tensors(DType::F32), tensors(DType::F64));
    for (name, tensor) in narrow {
        let wide = wide[&name].to_dtype(DType::F32).unwrap().flatten_all().unwrap();
        let narrow = tensor.flatten_all().unwrap();
        assert_eq!(narrow.to_vec1::<f32>().unwrap(), wide.to_vec1::<f32>().unwrap(), "{name}");
    }
}

#[test]
fn a_study_writes_a_model_as_a_table() {
    let spec: ModelSpec = toml::from_str("name = 'resnet18'\nwidth = 8\nstem = 'cifar'").unwrap();
    assert_eq!((spec.name, spec.width), (Architecture::Resnet18, Some(8)));
    let error = toml::from_str::<ModelSpec>("name = 'resnet18'\nwidht = 8").unwrap_err();
    assert!(error.to_string().contains("unknown field `widht`"), "{error}");
}

#[test]
fn models_beyond_any_machine_are_refused_before_they_are_made() {
    let wide = ModelSpec { width: Some(1 << 16), ..spec(Architecture::Resnet18, 10) };
    let hidden = Some(vec![1 << 16; 2]);
    let mlp = ModelSpec { hidden, image_size: Some(2), ..spec(Architecture::Mlp, 10) };
    for (spec, parameter) in [
        (wide, "`layer1.0.conv1.weight`, of shape [65536, 65536, 3, 3]"),
        (mlp, "`fc2.weight`, of shape [65536, 65536]"),
    ] {
        let error = Model::new(&spec, 1, DType::F32, &Device::Cpu).err().unwrap().to_string();
        assert!(error.contains(parameter) && error.contains("lower its width"), "{error}");
        assert!(error.contains("more than 536870912 numbers"), "{error}");
    }
}

#[test]
fn specifications_without_sense_are_refused_by_name() {
    let resnet18 = ModelSpec::new(Architecture::Resnet18);
    let mlp = ModelSpec::new(Architecture::Mlp);
    let vit = ModelSpec::new(Architecture::Vit).for_images(3, 32, 10).unwrap();
    let mixer = ModelSpec::new(Architecture::Mixer).for_images(3, 32, 10).unwrap();
    let transformer = ModelSpec::new(Architecture::Transformer);
    let silu = Some(Nonlinearity::Silu);
    for (spec, expected) in [
        (ModelSpec { activation: silu, ..resnet18.clone() }, "activation: resnet18 has no such"),
        (ModelSpec { activation: silu, ..mlp.clone() }, "activation: mlp has no such"),
        (ModelSpec { width: Some(0), ..resnet18.clone() }, "width: 0 given"),
        (ModelSpec { width: Some(1 << 40), ..resnet18.clone() }, "expected 1 to 65536"),
        (ModelSpec { hidden: Some(vec![8]), ..resnet18.clone() }, "hidden: resnet18 has no such"),
        (ModelSpec { width: Some(8), ..mlp.clone() }, "width: mlp has no such"),
        (ModelSpec { hidden: Some(vec![8, 0]), ..mlp.clone() }, "hidden: 0 given"),
        (ModelSpec { in_channels: Some(3), ..mlp }, "classes: not known"),
        (ModelSpec { depth: Some(2), ..resnet18.clone() }, "depth: resnet18 has no such"),
        (ModelSpec { heads: Some(5), ..vit.clone() }, "heads: 5 do not divide the width, 192"),
        (ModelSpec { patch: Some(5), ..vit.clone() }, "patch: 5 does not divide images of 32"),
        (ModelSpec { patch: Some(257), ..vit.clone() }, "patch: 257 given, expected 1 to 256"),
        (ModelSpec { dropout: Some(0.1), ..vit }, "dropout: vit has no such"),
        (ModelSpec { heads: Some(2), ..mixer }, "heads: mixer has no such"),
        (ModelSpec { dropout: Some(1.0), ..transformer.clone() }, "dropout: 1 given"),
        (ModelSpec { image_size: Some(8), ..transformer.clone() }, "image_size: transformer has"),
        (transformer.clone(), "classes: not known"),
        (ModelSpec { classes: Some(3), ..resnet18.clone() }, "in_channels: not known"),
    ] {
        let error = Model::new(&spec, 1, DType::F32, &Device::Cpu).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let spec = ModelSpec { classes: Some(7), ..resnet18 };
    let error = spec.for_images(1, 32, 10).unwrap_err().to_string();
    assert!(error.contains("classes: 7 given, the data has 10"), "{error}");
    let error = transformer.for_images(1, 32, 10).unwrap_err().to_string();
    assert!(error.contains("transformer takes pairs of sequences, the data are images"), "{error}");
    let error = ModelSpec::new(Architecture::Vit).for_sequences(8, 8).unwrap_err().to_string();
    assert!(error.contains("vit takes images, the data are pairs of sequences"), "{error}");
    let error = "resnet81".parse::<Architecture>().unwrap_err().to_string();
    assert!(
        error.contains("resnet18, resnet20, mlp, vit, mixer, transformer; the nearest"),
        "{error}"
    );
}

#[test]
fn the_classifier_and_the_table_of_sources_are_the_layers_that_are_named() {
    for name in Architecture::ALL {
        let spec = ModelSpec { width: narrow(name), heads: heads(name), ..ModelSpec::new(name) };
        let spec = match name.takes_sequences() {
            true => ModelSpec { heads: Some(2), depth: Some(1), ..spec }.for_sequences(11, 7),
            false => spec.for_images(3, 32, 7),
        };
        let model = model(&spec.unwrap(), 1);
        let rows = |layer: &str| {
            let weight = format!("{layer}.weight");
            let found = model.parameters().named().find(|(name, _)| *name == weight);
            found.unwrap().1.dims()[0]
        };
        assert_eq!(rows(&model.spec().classifier()), 7, "{name:?}");
        let table = model.spec().source_table();
        assert_eq!(table.map(rows), name.takes_sequences().then_some(11), "{name:?}");
    }
    let hidden = Some(vec![6, 5]);
    let mlp = ModelSpec { hidden, ..ModelSpec::new(Architecture::Mlp) };
    assert_eq!(mlp.classifier(), "fc3");
}
