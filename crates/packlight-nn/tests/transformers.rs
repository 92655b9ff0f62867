//! Vision transformer, mixer and transformer: the parameters of their sources, gradients as
//! candle's own autograd gives them, and what they keep.

#![allow(clippy::unwrap_used)]

mod plain_candle;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};
use packlight_autograd::{Ledger, Pass};
use packlight_codec::Scope;
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::Plan;
use packlight_nn::model::{Inputs, Mixer, Model, ModelSpec, Transformer, Vit};
use packlight_record::KeptKind;
use plain_candle::Candle;

fn vit(width: usize, heads: usize, depth: usize, patch: usize, size: usize) -> ModelSpec {
    let spec = ModelSpec::new(Vit { width, depth, heads, patch, ..Vit::default() });
    spec.for_images(3, size, 1000).unwrap()
}

fn mixer(width: usize, depth: usize, patch: usize, size: usize) -> ModelSpec {
    let spec = ModelSpec::new(Mixer { width, depth, patch, ..Mixer::default() });
    spec.for_images(3, size, 1000).unwrap()
}

fn transformer(width: usize, heads: usize, depth: usize, source_vocabulary: usize) -> ModelSpec {
    let spec = Transformer { width, depth, heads, dropout: 0.0, ..Transformer::default() };
    ModelSpec::new(spec).for_sequences(source_vocabulary, 13).unwrap()
}

fn model(spec: &ModelSpec, dtype: DType) -> Model {
    Model::new(spec, 1, dtype, &Device::Cpu).unwrap()
}

fn shapes(model: &Model) -> BTreeMap<&str, Vec<usize>> {
    model.parameters().named().map(|(name, var)| (name, var.dims().to_vec())).collect()
}

#[test]
fn parameters_are_as_many_as_in_timm() {
    for (spec, count) in [
        (vit(192, 3, 12, 16, 224), 5_717_416),
        (vit(192, 3, 12, 32, 224), 6_131_560),
        (vit(384, 6, 12, 16, 224), 22_050_664),
        (mixer(512, 8, 16, 224), 18_528_264),
    ] {
        assert_eq!(model(&spec, DType::F32).parameters().count(), count, "{spec:?}");
    }
}

#[test]
fn parameters_have_the_names_of_timm() {
    let model = model(&vit(8, 2, 2, 4, 8), DType::F32);
    let shapes = shapes(&model);
    assert_eq!(shapes.len(), 4 + 2 * 12 + 4);
    assert_eq!(shapes["cls_token"], [1, 1, 8]);
    assert_eq!(shapes["pos_embed"], [1, 5, 8]);
    assert_eq!(shapes["patch_embed.proj.weight"], [8, 3, 4, 4]);
    for (name, shape) in [
        ("norm1.weight", vec![8]),
        ("attn.qkv.weight", vec![24, 8]),
        ("attn.proj.bias", vec![8]),
        ("norm2.bias", vec![8]),
        ("mlp.fc1.weight", vec![32, 8]),
        ("mlp.fc2.weight", vec![8, 32]),
    ] {
        assert_eq!(shapes[&*format!("blocks.1.{name}")], shape, "{name}");
    }
    assert_eq!((&shapes["norm.weight"], &shapes["head.bias"]), (&vec![8], &vec![1000]));
}

#[test]
fn a_mixer_has_the_names_of_timm() {
    let model = model(&mixer(8, 2, 4, 12), DType::F32);
    let shapes = shapes(&model);
    assert_eq!(shapes.len(), 2 + 2 * 12 + 4);
    assert_eq!(shapes["stem.proj.weight"], [8, 3, 4, 4]);
    assert_eq!(shapes["blocks.0.mlp_tokens.fc1.weight"], [4, 9]);
    assert_eq!(shapes["blocks.0.mlp_tokens.fc2.weight"], [9, 4]);
    assert_eq!(shapes["blocks.1.mlp_channels.fc1.weight"], [32, 8]);
    assert_eq!(shapes["blocks.1.norm2.bias"], [8]);
    assert_eq!((&shapes["norm.weight"], &shapes["head.weight"]), (&vec![8], &vec![1000, 8]));
}

#[test]
fn a_transformer_has_the_parameters_of_its_source() {
    let spec = ModelSpec::new(Transformer::default()).for_sequences(100, 50).unwrap();
    let model = model(&spec, DType::F32);
    assert_eq!(model.parameters().count(), 44_140_544 + 512 * 150 + 513 * 50);
    let shapes = shapes(&model);
    for name in [
        "src_embedding.embeddings_table.weight",
        "encoder.encoder_layers.5.sublayers.1.norm.weight",
        "encoder.encoder_layers.5.multi_headed_attention.qkv_nets.2.weight",
        "encoder.encoder_layers.5.multi_headed_attention.out_projection_net.bias",
        "encoder.encoder_layers.0.pointwise_net.linear1.weight",
        "encoder.norm.bias",
        "trg_embedding.embeddings_table.weight",
        "decoder.decoder_layers.0.sublayers.2.norm.weight",
        "decoder.decoder_layers.0.trg_multi_headed_attention.qkv_nets.0.bias",
        "decoder.decoder_layers.0.src_multi_headed_attention.out_projection_net.weight",
        "decoder.decoder_layers.0.pointwise_net.linear2.bias",
        "decoder.norm.weight",
        "decoder_generator.linear.weight",
    ] {
        assert!(shapes.contains_key(name), "{name}");
    }
    let buffers: Vec<_> = model.parameters().buffers().collect();
    let expected = ["src", "trg"].map(|s| format!("{s}_pos_embedding.positional_encodings_table"));
    assert_eq!(buffers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);
    assert!(buffers.iter().all(|(_, table)| table.dims() == [5000, 512]));
}

#[test]
fn auxiliary_levels_are_those_of_the_paper() {
    let covered = |spec: &ModelSpec, level| {
        let model = model(spec, DType::F32);
        let layers = model.save_points().iter();
        let covered = layers.filter(|layer| layer.is_in(Scope::Auxiliary(level)));
        covered.map(|layer| layer.name().to_owned()).collect::<Vec<_>>()
    };
    let vit = vit(8, 2, 1, 4, 8);
    assert_eq!(covered(&vit, 1), ["blocks.0.mlp.fc2"]);
    assert_eq!(covered(&vit, 2), ["blocks.0.mlp.fc1", "blocks.0.mlp.fc2"]);
    assert_eq!(covered(&vit, 3)[0], "blocks.0.attn.proj");
    assert_eq!(covered(&vit, 4)[0], "blocks.0.attn.qkv");
    let mixer = mixer(8, 1, 4, 8);
    assert_eq!(covered(&mixer, 1), ["blocks.0.mlp_channels.fc2"]);
    assert_eq!(covered(&mixer, 3)[0], "blocks.0.mlp_tokens.fc2");
    let counts = [1, 2, 3, 4].map(|level| covered(&mixer, level).len());
    assert_eq!(counts, [1, 2, 3, 4]);
    let counts = [1, 2, 3, 4].map(|level| covered(&transformer(8, 2, 1, 11), level).len());
    assert_eq!(counts, [2, 4, 7, 16]);
}

fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).layer(name).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A model in f64 with parameters that are all far from 0.
fn random(spec: &ModelSpec) -> Model {
    let model = model(spec, DType::F64);
    let mut tensors = model.parameters().tensors().unwrap();
    for (name, var) in model.parameters().named() {
        let values = (sample(var.dims(), name) * 0.4).unwrap();
        tensors.insert(name.to_owned(), values);
    }
    model.parameters().set(&tensors).unwrap();
    model
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let (found, expected) = (flat(found), flat(expected));
    let gap = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
    gap / norm(&mut expected.iter().copied())
}

/// Logits and all gradients against candle's.
fn compare(spec: &ModelSpec, inputs: &Inputs, theirs: impl Fn(&Candle<'_>) -> Result<Tensor>) {
    let model = random(spec);
    let ours = model.logits(inputs, &Pass::training()).unwrap().into_tensor().unwrap();
    let candles = theirs(&Candle(&model)).unwrap();
    assert!(relative_error(&ours, &candles) < 1e-12);
    let projection = sample(ours.dims(), "projection");
    let gradients = |y: &Tensor| (y * &projection).unwrap().sum_all().unwrap().backward().unwrap();
    let (ours, candles) = (gradients(&ours), gradients(&candles));
    for (name, var) in model.parameters().named() {
        let (found, expected) = (ours.get(var).unwrap(), candles.get(var).unwrap());
        // A softmax does not see what is added to all of a row's scores, the keys' bias; nor a norm
        // what is added to all features of a token, the bias behind the mixing of tokens.
        if ["qkv_nets.1.bias", "mlp_tokens.fc2.bias"].iter().any(|unseen| name.ends_with(unseen)) {
            assert!(flat(found).iter().all(|g| g.abs() < 1e-10), "{name}");
            continue;
        }
        let error = relative_error(found, expected);
        assert!(error < 1e-10, "{name}: {error:e}");
    }
}

#[test]
fn gradients_are_candles_own() {
    let images = sample(&[2, 3, 8, 12], "images").narrow(3, 0, 8).unwrap();
    let of_images = Inputs::Images(images.clone());
    let source = [[3u32, 4, 5, 6, 7], [10, 2, 9, 0, 0]];
    let target = [[1u32, 8, 12, 3], [1, 5, 5, 0]];
    let [source, target] =
        [Tensor::new(&source, &Device::Cpu).unwrap(), Tensor::new(&target, &Device::Cpu).unwrap()];
    // Sources longer than targets, and the other way around.
    let pairs = [(&source, &target), (&target, &source)];
    for activation in ["gelu", "silu"] {
        let with = |spec: ModelSpec| spec.with("activation", activation).unwrap();
        compare(&with(vit(8, 2, 2, 4, 8)), &of_images, |candle| candle.vit(&images));
        compare(&with(mixer(8, 2, 4, 8)), &of_images, |candle| candle.mixer(&images));
        for (source, target) in pairs {
            let inputs = Inputs::Pairs { source: source.clone(), target: target.clone() };
            compare(&with(transformer(8, 2, 2, 13)), &inputs, |candle| {
                candle.transformer(source, target)
            });
        }
    }
}

/// Bytes that the layers whose names begin with `part` keep of one sample.
fn kept(spec: &ModelSpec, inputs: &Inputs, part: &str) -> (usize, usize) {
    let model = model(spec, DType::F32);
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let y = model.logits(inputs, &pass).unwrap();
    let entries = ledger.entries();
    let of = |statistics: bool| {
        let wanted = entries.iter().filter(|entry| {
            entry.layer.starts_with(part) && (entry.kind == KeptKind::Statistics) == statistics
        });
        wanted.map(|entry| entry.bytes.total()).sum::<usize>()
    };
    drop(y);
    (of(false), of(true))
}

/// One pair of sequences of so many tokens.
fn pair(source: usize, target: usize) -> Inputs {
    let tokens = |length: usize| {
        let numbers = (0..length).map(|at| 1 + (at * 7 % 10) as u32);
        Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape((1, length)).unwrap()
    };
    Inputs::Pairs { source: tokens(source), target: tokens(target) }
}

#[test]
fn a_block_keeps_what_the_formula_says() {
    let images = Tensor::ones((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let images = Inputs::Images(images);
    // Tokens, features, hidden, heads.
    let (n, d, m, h) = (17, 24, 96, 3);
    let spec = vit(d, h, 3, 8, 32);
    let expected = 4 * (8 * n * d + 2 * n * m + h * n * n);
    assert_eq!(kept(&spec, &images, "blocks.1."), (expected, 16 * n));
    let n = 16;
    let expected = 4 * (4 * n * d + 2 * d * (d / 2) + 2 * n * m);
    assert_eq!(kept(&mixer(d, 3, 8, 32), &images, "blocks.1."), (expected, 16 * n));

    // The encoder's output is kept once for all layers of the decoder, and what dropout leaves of
    // the probabilities not at all.
    let (s, t) = (9, 7);
    let pair = pair(s, t);
    let spec = transformer(d, h, 2, 11).with("dropout", 0.1).unwrap();
    let encoder = kept(&spec, &pair, "encoder.encoder_layers.1.");
    assert_eq!(encoder, (4 * (8 * s * d + 2 * s * m + h * s * s), 16 * s));
    // Keys and values of the source, all else of the target.
    let decoder = kept(&spec, &pair, "decoder.decoder_layers.1.");
    let of_source = 2 * s * d + h * t * s;
    assert_eq!(decoder, (4 * (12 * t * d + 2 * t * m + h * t * t + of_source), 24 * t));
}

#[test]
fn evaluation_keeps_nothing_and_a_training_step_gives_all_back() {
    let images = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let images = Inputs::Images(images);
    let tokens = |length| Tensor::ones((2, length), DType::U32, &Device::Cpu).unwrap();
    let pairs = Inputs::Pairs { source: tokens(3), target: tokens(4) };
    let dropping = transformer(8, 2, 1, 11).with("dropout", 0.1).unwrap();
    let pooled = "linear=pool2,norm=pool2,attention=pool2";
    for (spec, input, labels, plan) in [
        (vit(8, 2, 1, 4, 8), &images, vec![2], pooled),
        (mixer(8, 1, 4, 8), &images, vec![2], "linear=pool2,norm=pool2"),
        (dropping, &pairs, vec![2, 4], pooled),
    ] {
        let model = model(&spec, DType::F32);
        let labels = Tensor::ones(labels, DType::U32, &Device::Cpu).unwrap();
        let run = |pass: &Pass| {
            let logits = model.logits(input, pass).unwrap();
            model.loss(&logits, &labels).unwrap()
        };
        let ledger = Ledger::new();
        run(&Pass::evaluation().with_ledger(&ledger));
        assert!(ledger.entries().is_empty());
        let gradients = run(&Pass::training().with_ledger(&ledger)).backward().unwrap();
        assert!(ledger.peak() > 0 && ledger.kept() == 0);
        assert!(model.parameters().named().all(|(_, var)| gradients.get(var).is_some()));
        Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
        let pooled = Ledger::new();
        run(&Pass::training().with_ledger(&pooled)).backward().unwrap();
        assert!(pooled.peak() < ledger.peak());
    }
}

#[test]
fn inputs_of_the_other_kind_are_refused() {
    let images = Inputs::Images(Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu).unwrap());
    for (spec, inputs, words) in [
        (
            transformer(8, 2, 1, 11),
            &images,
            "transformer takes pairs of sequences, the data are images",
        ),
        (mixer(8, 1, 4, 8), &pair(2, 3), "mixer takes images, the data are pairs of sequences"),
    ] {
        let refused = model(&spec, DType::F32).logits(inputs, &Pass::training());
        let error = refused.err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let more = Inputs::Pairs {
        source: Tensor::ones((2, 3), DType::U32, &Device::Cpu).unwrap(),
        target: Tensor::ones((3, 3), DType::U32, &Device::Cpu).unwrap(),
    };
    let refused = model(&transformer(8, 2, 1, 11), DType::F32).logits(&more, &Pass::training());
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("[2, 3] and [3, 3] found"), "{error}");
}

#[test]
fn training_is_smoothed_and_evaluation_is_not() {
    let model = model(&transformer(8, 2, 1, 11), DType::F64);
    let inputs = pair(9, 7);
    let labels = Tensor::new(&[[4u32, 5, 6, 7, 8, 2, 0]], &Device::Cpu).unwrap();
    let both = [Pass::training(), Pass::evaluation()].map(|pass| {
        let logits = model.logits(&inputs, &pass).unwrap();
        let loss = model.loss(&logits, &labels).unwrap();
        (logits.data().clone(), loss.to_scalar::<f64>().unwrap())
    });
    // Nothing is dropped out, so that both have the same logits.
    let logs = candle_nn::ops::log_softmax(&both[0].0, 2).unwrap().to_vec3::<f64>().unwrap();
    let rows = logs[0].iter().zip([4, 5, 6, 7, 8, 2]);
    let (mut plain, mut even) = (0.0, 0.0);
    for (row, label) in rows {
        plain -= row[label] / 6.0;
        even -= row.iter().sum::<f64>() / 13.0 / 6.0;
    }
    let smoothed = 0.9 * plain + 0.1 * even;
    assert_eq!(model.label_smoothing(), 0.1);
    assert!((both[0].1 - smoothed).abs() < 1e-12, "{} {smoothed}", both[0].1);
    assert!((both[1].1 - plain).abs() < 1e-12, "{} {plain}", both[1].1);
}
