//! The models have PyTorch's parameters, and a seed gives the same ones each time.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::Pass;
use packlight_nn::Parameters;
use packlight_nn::model::{
    Gpt, Inputs, MODELS, Mlp, Model, ModelSpec, Resnet18, Resnet20, Stem, Takes, Transformer, Vit,
};
use packlight_record::LayerKind;
use toml::Table;

fn resnet18(width: usize) -> ModelSpec {
    let spec = ModelSpec::new(Resnet18 { width, ..Resnet18::default() });
    spec.for_images(3, 32, 10).unwrap()
}

fn resnet20(width: usize) -> ModelSpec {
    ModelSpec::new(Resnet20 { width }).for_images(3, 32, 10).unwrap()
}

fn model(spec: &ModelSpec, seed: u64) -> Model {
    Model::new(spec, seed, DType::F32, &Device::Cpu).unwrap()
}

fn names(parameters: &Parameters) -> Vec<String> {
    parameters.named().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn resnet18_has_torchvisions_parameters() {
    let spec = ModelSpec::new(Resnet18 { stem: Stem::Imagenet, ..Resnet18::default() });
    let model = model(&spec.for_images(3, 224, 1000).unwrap(), 1);
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
fn deeper_residual_networks_have_torchvisions_parameters() {
    for (name, parameters, convolutions, features) in [
        ("resnet34", 21_797_672, 36, 512),
        ("resnet50", 25_557_032, 53, 2048),
        ("resnet101", 44_549_160, 104, 2048),
        ("resnet152", 60_192_808, 155, 2048),
    ] {
        let spec = ModelSpec::named(name, Table::new()).unwrap().with("stem", "imagenet").unwrap();
        let model = model(&spec.for_images(3, 224, 1000).unwrap(), 1);
        assert_eq!(model.parameters().count(), parameters, "{name}");
        let of_kind = |kind| model.save_points().iter().filter(|l| l.kind() == kind).count();
        assert_eq!(of_kind(LayerKind::Conv), convolutions, "{name}");
        let shape = |wanted: &str| {
            let found = model.parameters().named().find(|(name, _)| *name == wanted);
            found.map(|(_, var)| var.dims().to_vec())
        };
        assert_eq!(shape("fc.weight"), Some(vec![1000, features]), "{name}");
        let bottleneck = features == 2048;
        let first = bottleneck.then(|| vec![256, 64, 1, 1]);
        assert_eq!(shape("layer1.0.downsample.0.weight"), first, "{name}");
        assert_eq!(shape("layer4.2.bn3.bias"), bottleneck.then(|| vec![2048]), "{name}");
        let last = if name == "resnet34" || name == "resnet50" { 5 } else { 22 };
        assert!(shape(&format!("layer3.{last}.conv2.weight")).is_some(), "{name}");
    }
}

#[test]
fn a_bottleneck_block_stands_in_torchvisions_order() {
    let spec = ModelSpec::named("resnet50", Table::new()).unwrap().with("width", 4).unwrap();
    let model = model(&spec.for_images(3, 32, 10).unwrap(), 1);
    let names = names(model.parameters());
    assert_eq!(names.len(), 161);
    let start = names.iter().position(|name| name == "layer2.0.conv1.weight").unwrap();
    let expected = ["conv1", "bn1", "bn1", "conv2", "bn2", "bn2", "conv3", "bn3", "bn3"];
    let expected = expected.iter().chain(&["downsample.0", "downsample.1", "downsample.1"]);
    for (name, expected) in names[start..].iter().zip(expected) {
        assert!(name.starts_with(&format!("layer2.0.{expected}.")), "{name}");
    }
    let shape = |at: usize| model.parameters().named().nth(start + at).unwrap().1.dims().to_vec();
    assert_eq!([shape(0), shape(3), shape(6)], [[8, 16, 1, 1], [8, 8, 3, 3], [32, 8, 1, 1]]);
    assert_eq!(shape(9), [32, 16, 1, 1]);
}

#[test]
fn resnet56_has_the_cifar_networks_parameters() {
    let spec = ModelSpec::named("resnet56", Table::new()).unwrap();
    let model = model(&spec.for_images(3, 32, 10).unwrap(), 1);
    assert_eq!(model.parameters().count(), 853_018);
    assert!(names(model.parameters()).contains(&"layer3.8.conv2.weight".to_owned()));
}

#[test]
fn resnet20_has_the_cifar_networks_parameters() {
    let model = model(&resnet20(16), 1);
    assert_eq!(model.parameters().count(), 269_722);
    let numbers: usize = model.parameters().buffers().map(|(_, var)| var.elem_count()).sum();
    assert_eq!(model.parameters().count() + numbers, 271_098);
    let names = names(model.parameters());
    assert!(names.contains(&"linear.bias".to_owned()));
    assert!(!names.iter().any(|name| name.contains("downsample")));
}

#[test]
fn layers_stand_in_forward_order() {
    let model = model(&resnet18(4), 1);
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

/// Every model of this crate, with narrow layers, for its kind of data and seven classes.
fn narrow_models() -> Vec<ModelSpec> {
    let narrow = |entry: &packlight_nn::model::Entry| {
        let mut spec = ModelSpec::named(entry.name(), Table::new()).unwrap();
        for (key, value) in [("width", 4), ("depth", 1), ("heads", 2)] {
            if spec.option(key).is_some() {
                spec = spec.with(key, value).unwrap();
            }
        }
        match spec.takes() {
            Takes::Pairs { .. } => spec.for_sequences(11, 7).unwrap(),
            Takes::Text => spec.for_text(7).unwrap(),
            Takes::LabelledText { .. } => spec.for_labelled_text(11, 7).unwrap(),
            Takes::Images | Takes::SquareImages { .. } => spec.for_images(3, 32, 7).unwrap(),
        }
    };
    MODELS.iter().map(narrow).collect()
}

#[test]
fn every_model_gives_logits_and_a_loss() {
    let imagenet = ModelSpec::new(Resnet18 { width: 4, stem: Stem::Imagenet });
    let imagenet = imagenet.for_images(3, 32, 7).unwrap();
    for spec in narrow_models().into_iter().chain([imagenet]) {
        let model = model(&spec, 1);
        let images = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
        let tokens = Tensor::new(&[[1u32, 2, 3], [4, 5, 6]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0u32, 6], &Device::Cpu).unwrap();
        let (inputs, labels, dims) = match spec.takes() {
            Takes::Text => (Inputs::Text(tokens.clone()), tokens, vec![2, 3, 7]),
            Takes::LabelledText { .. } => (Inputs::Text(tokens), labels, vec![2, 7]),
            Takes::Pairs { .. } => {
                let inputs = Inputs::Pairs { source: tokens.clone(), target: tokens.clone() };
                (inputs, tokens, vec![2, 3, 7])
            }
            _ => (Inputs::Images(images), labels, vec![2, 7]),
        };
        let logits = model.logits(&inputs, &Pass::evaluation()).unwrap();
        assert_eq!(logits.dims(), dims, "{}", spec.name());
        let loss = model.loss(&logits, &labels).unwrap();
        assert!(loss.to_scalar::<f32>().unwrap().is_finite());
    }
}

#[test]
fn the_same_seed_gives_the_same_parameters() {
    let spec = resnet20(4);
    let values = |seed| {
        let tensors = model(&spec, seed).parameters().tensors().unwrap();
        tensors["layer2.1.conv1.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(values(1), values(1));
    assert_ne!(values(1), values(2));
}

#[test]
fn f32_and_f64_start_at_the_same_point() {
    let spec = resnet20(4);
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
fn models_beyond_any_machine_are_refused_before_they_are_made() {
    let mlp = ModelSpec::new(Mlp { hidden: vec![1 << 16; 2] }).for_images(3, 2, 10).unwrap();
    for (spec, parameter) in [
        (resnet18(1 << 16), "`layer1.0.conv1.weight`, of shape [65536, 65536, 3, 3]"),
        (mlp, "`fc2.weight`, of shape [65536, 65536]"),
    ] {
        let error = refused(&spec);
        assert!(error.contains(parameter) && error.contains("lower its width"), "{error}");
        assert!(error.contains("more than 536870912 numbers"), "{error}");
    }
}

fn refused(spec: &ModelSpec) -> String {
    Model::new(spec, 1, DType::F32, &Device::Cpu).err().unwrap().to_string()
}

#[test]
fn options_without_sense_are_refused_by_name() {
    let vit = ModelSpec::new(Vit { heads: 5, ..Vit::default() });
    let patch = |patch| ModelSpec::new(Vit { patch, ..Vit::default() });
    let images = |spec: ModelSpec| spec.for_images(3, 32, 10).unwrap();
    let transformer = ModelSpec::new(Transformer { dropout: 1.0, ..Transformer::default() });
    for (spec, expected) in [
        (resnet18(0), "model: width: 0 given, expected 1 to 65536"),
        (resnet18(1 << 40), "model: width: 1099511627776 given, expected 1 to 65536"),
        (images(ModelSpec::new(Mlp { hidden: vec![8, 0] })), "model: hidden: 0 given"),
        (images(vit), "model: heads: 5 do not divide the width, 192"),
        (images(patch(5)), "model: patch: 5 does not divide images of 32"),
        (images(patch(257)), "model: patch: 257 given, expected 1 to 256"),
        (transformer, "model: dropout: 1 given, expected 0 <= dropout < 1"),
        (ModelSpec::new(Gpt { dropout: -0.1, ..Gpt::default() }), "model: dropout: -0.1 given"),
        (ModelSpec::new(Gpt { context: 0, ..Gpt::default() }), "model: context: 0 given"),
        (ModelSpec::new(Gpt::default()), "model: classes: not known"),
        (ModelSpec::new(Transformer::default()), "model: source_vocabulary: not known"),
        (ModelSpec::new(Resnet18::default()), "model: in_channels: not known"),
    ] {
        let error = refused(&spec);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn data_of_another_kind_is_refused() {
    let transformer = ModelSpec::new(Transformer::default());
    let error = transformer.for_images(1, 32, 10).unwrap_err().to_string();
    assert!(error.contains("transformer takes pairs of sequences, the data are images"), "{error}");
    let error = ModelSpec::new(Gpt::default()).for_sequences(8, 8).unwrap_err().to_string();
    assert!(error.contains("gpt takes text, the data are pairs of sequences"), "{error}");
    let error = ModelSpec::new(Vit::default()).for_text(8).unwrap_err().to_string();
    assert!(error.contains("vit takes images, the data are text"), "{error}");
    let error = ModelSpec::new(Vit::default()).for_sequences(8, 8).unwrap_err().to_string();
    assert!(error.contains("vit takes images, the data are pairs of sequences"), "{error}");
    let spec: ModelSpec = toml::from_str("name = 'resnet18'\nclasses = 7").unwrap();
    let error = spec.for_images(1, 32, 10).unwrap_err().to_string();
    assert!(error.contains("classes: 7 given, the data has 10; leave the key out"), "{error}");
}

#[test]
fn a_study_writes_a_model_as_a_table() {
    let text = "name = 'resnet18'\nwidth = 8\nstem = 'cifar'";
    let spec: ModelSpec = toml::from_str(text).unwrap();
    assert_eq!(spec.option("width"), Some(8.into()));
    assert_eq!(spec.option("stem"), Some("cifar".into()));
    assert_eq!(spec.option("heads"), None);
    let written = toml::to_string(&spec).unwrap();
    assert_eq!(written, text.replace('\'', "\"") + "\n", "what is given, in the model's order");
    let usual: ModelSpec = toml::from_str("name = 'vit'\npatch = 8\nwidth = 48").unwrap();
    let written = toml::to_string(&usual).unwrap();
    assert_eq!(written, "name = \"vit\"\nwidth = 48\npatch = 8\n");
}

#[test]
fn what_a_table_gets_wrong_is_named_with_what_is_right() {
    for (text, expected) in [
        ("name = 'resnet81'", "`resnet81` is none of resnet18, resnet34, resnet50"),
        ("name = 'resnet81'", "did you mean `resnet18`?"),
        ("name = 'resnet18'\nwidht = 8", "widht: resnet18 has no such option, it has width, stem"),
        ("name = 'resnet18'\nwidht = 8", "did you mean `width`?"),
        ("name = 'mlp'\nheads = 2", "heads: mlp has no such option, it has hidden"),
        ("name = 'vit'\ndropout = 0.1", "dropout: vit has no such option"),
        ("name = 'transformer'\nimage_size = 8", "image_size: transformer has no such option"),
        ("name = 'resnet18'\nwidth = 'wide'", "width: invalid type: string \"wide\""),
        ("name = 'resnet18'\nwidth = 0", "width: 0 given, expected 1 to 65536"),
        ("name = 'resnet18'\nclasses = 0", "classes: 0 given"),
        ("name = 'resnet18'\nstem = 'imagnet'", "stem: unknown variant `imagnet`"),
        ("name = 'resnet18'\nstem = 'imagnet'", "did you mean `imagenet`?"),
        ("name = 'mixer'\nwidth = 1", "width: 1 given, expected at least 2"),
        ("width = 8", "missing field `name`"),
    ] {
        let error = toml::from_str::<ModelSpec>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_model_in_words_says_what_is_given() {
    for (text, words) in [
        ("name = 'resnet18'", "resnet18"),
        ("name = 'resnet18'\nstem = 'cifar'\nwidth = 8", "resnet18, width 8, cifar stem"),
        ("name = 'mlp'\nhidden = [256, 64]", "mlp, hidden [256, 64]"),
        ("name = 'vit'\nactivation = 'silu'\ndepth = 3", "vit, depth 3, silu"),
        ("name = 'transformer'\ndropout = 0.0\nheads = 2", "transformer, heads 2, dropout 0"),
    ] {
        assert_eq!(toml::from_str::<ModelSpec>(text).unwrap().in_words(), words);
    }
    assert_eq!(ModelSpec::new(Vit { depth: 3, ..Vit::default() }).in_words(), "vit, depth 3");
}

#[test]
fn the_classifier_and_the_table_of_sources_are_the_layers_that_are_named() {
    for spec in narrow_models() {
        let model = model(&spec, 1);
        let rows = |layer: &str| {
            let weight = format!("{layer}.weight");
            let found = model.parameters().named().find(|(name, _)| *name == weight);
            found.unwrap().1.dims()[0]
        };
        assert_eq!(rows(&spec.classifier()), 7, "{}", spec.name());
        if let Takes::Pairs { source_table: table } | Takes::LabelledText { table } = spec.takes() {
            assert_eq!(rows(table), 11);
        }
    }
    assert_eq!(ModelSpec::new(Mlp { hidden: vec![6, 5] }).classifier(), "fc3");
}

#[test]
fn every_option_has_a_name_of_its_own_a_description_and_a_default() {
    for entry in MODELS {
        let usual = entry.usual();
        let mut names: Vec<&str> = usual.keys().iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), usual.keys().len(), "{}", entry.name());
        for key in usual.keys() {
            assert!(!key.doc.trim().is_empty() && usual.value(key.name).is_some(), "{key:?}");
        }
        assert_eq!(usual.check(), Ok(()));
    }
}
