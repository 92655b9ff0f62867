//! One codec at one layer, beside what real passes show.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Entry, Ledger, Pass};
use packlight_codec::{Codec, CodecState};
use packlight_kernels::linear;
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::{Inputs, Mlp, Resnet18, Transformer, Vit};
use packlight_nn::{Model, ModelSpec, Module, Plan};
use packlight_probe::one_on::{OneOn, Outcome, Trial, settle};
use packlight_probe::{Effect, Survey, survey};
use packlight_record::{Compared, KeptKind};

fn made(spec: ModelSpec) -> Model {
    Model::new(&spec.for_images(3, 16, 5).unwrap(), 3, DType::F32, &Device::Cpu).unwrap()
}

fn resnet() -> Model {
    made(ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() }))
}

fn vit() -> Model {
    made(ModelSpec::new(Vit { width: 16, depth: 2, heads: 2, ..Vit::default() }))
}

/// With dropout; query, key and value are layers of their own.
fn transformer() -> Model {
    let options = Transformer { width: 8, depth: 1, heads: 2, ..Transformer::default() };
    let spec = ModelSpec::new(options).for_sequences(12, 12).unwrap();
    Model::new(&spec, 3, DType::F32, &Device::Cpu).unwrap()
}

fn loss_of(model: &Model, pass: &Pass, batch: u64) -> packlight_nn::Result<Tensor> {
    let mut stream = Key::new(1, Purpose::Sample).step(batch).stream();
    if model.spec().name() == "transformer" {
        let mut tokens = |length: usize| {
            let tokens = (0..4 * length).map(|_| 3 + (9.0 * stream.uniform()) as u32).collect();
            Tensor::from_vec(tokens, (4, length), &Device::Cpu)
        };
        let (source, target, labels) = (tokens(6)?, tokens(5)?, tokens(5)?);
        return model.loss(&model.logits(&Inputs::Pairs { source, target }, pass)?, &labels);
    }
    let pixels: Vec<f32> = (0..4 * 3 * 16 * 16).map(|_| stream.normal() as f32).collect();
    let images = Tensor::from_vec(pixels, (4, 3, 16, 16), &Device::Cpu)?;
    let labels = Tensor::new(&[0u32, 4, 2, 1], &Device::Cpu)?;
    model.loss(&model.forward(&Activation::from_tensor(&images, pass)?)?, &labels)
}

fn pass() -> Pass {
    Pass::training().with_seed(5, 9)
}

fn codecs(specs: &[&str]) -> Vec<Arc<dyn Codec>> {
    specs.iter().map(|spec| packlight_codec::parse(spec).unwrap()).collect()
}

fn surveyed(model: &Model, codecs: &[Arc<dyn Codec>]) -> Survey {
    survey(model.parameters(), &pass(), |pass| loss_of(model, pass, 0), codecs).unwrap()
}

/// All trials at layers whose codecs change their own gradient alone.
fn own_trials(model: &Model, codecs: &[Arc<dyn Codec>], draws: u64) -> Vec<Trial> {
    let survey = surveyed(model, codecs);
    let mut trials = Vec::new();
    for layer in survey.layers.iter().filter(|layer| layer.changes_own_alone) {
        for (codec, packs) in codecs.iter().zip(&layer.codecs) {
            if packs.is_ok() {
                let (layer, codec) = (layer.layer.name().into(), codec.clone());
                trials.push(Trial { layer, codec, draws, state: CodecState::default() });
            }
        }
    }
    trials
}

/// The gradients of all parameters in a pass with the model's codecs, as f64.
fn gradients(model: &Model, pass: &Pass) -> BTreeMap<String, Vec<f64>> {
    let pass = pass.clone().freeze_statistics();
    let store = loss_of(model, &pass, 1).unwrap().backward().unwrap();
    let values = |tensor: &Tensor| {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    };
    let named = model.parameters().named();
    named.map(|(name, var)| (name.to_owned(), values(store.get(var).unwrap()))).collect()
}

fn squared_error(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// The mean squared error of draws, and their squared bias if there are several; that is all there is
/// where draws are the same.
fn error_and_bias(exact: &[f64], draws: &[Vec<f64>]) -> (f64, Option<f64>) {
    let first = squared_error(exact, &draws[0]);
    if draws.len() == 1 || draws[1] == draws[0] {
        return (first, (draws.len() > 1).then_some(first));
    }
    let squares: f64 = draws.iter().map(|draw| squared_error(exact, draw)).sum();
    let error = |at: usize| draws.iter().map(|draw| draw[at] - exact[at]).sum::<f64>();
    let square_of_sum: f64 = (0..exact.len()).map(|at| error(at) * error(at)).sum();
    let count = draws.len() as f64;
    (squares / count, Some((square_of_sum - squares) / (count * (count - 1.0))))
}

fn effect(outcome: &Outcome) -> &Effect {
    outcome.as_ref().unwrap()
}

const PACKING: [&str; 10] =
    ["q2", "q8", "q4:nearest", "pool2", "hosvd:0.8", "svd:0.8", "topk:0.1", "bf16", "fp8", "mesa"];

/// All codecs of a plan together do what they do in a pass of that plan, to the bit: norms pass their errors
/// on, layers share copies, and a codec that remembers has seen a batch. Afterwards the layers are exact again.
#[test]
fn a_plan_as_a_whole_is_what_real_passes_of_it_show() {
    let plans =
        ["conv=q2,norm=q4,relu=none", "default=q4,fc=resprop:0.1", "layer1.0.conv1=hosvd:0.8"];
    let model = resnet();
    let loss = |pass: &Pass| loss_of(&model, pass, 1);
    let (one_on, _) = OneOn::new(model.parameters(), &pass(), loss, &[]).unwrap();
    let exact = gradients(&model, &pass());
    for text in plans {
        let plan = Plan::parse(text).unwrap();
        let settling = pass().with_seed(5, 8).settle_codecs();
        let settle = || {
            let loss = loss_of(&model, &settling, 0)?;
            loss.backward().map(drop).map_err(packlight_probe::Error::from)
        };
        let found = one_on.planned(&plan, settle, 3).unwrap();
        assert_eq!(gradients(&model, &pass()), exact, "{text} is still there");
        plan.apply(model.save_points()).unwrap();
        settle().unwrap();
        let flat = |gradients: BTreeMap<String, Vec<f64>>| -> Vec<f64> {
            gradients.into_values().flatten().collect()
        };
        let draws = [0, 1, 2].map(|draw| flat(gradients(&model, &pass().with_codec_draw(draw))));
        Plan::parse("none").unwrap().apply(model.save_points()).unwrap();
        let (error, bias) = error_and_bias(&flat(exact.clone()), &draws);
        // The parameters are summed in another order.
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * error;
        assert!(near(found.squared_error, error) && error > 0.0, "{text}: {found:?} {error}");
        assert!(near(found.squared_bias.unwrap(), bias.unwrap()), "{text}: {bias:?}");
    }
}

/// What one pass says of a codec at a layer is what a pass with only that codec at that layer does, to
/// the bit, and no other gradient changes.
#[test]
fn a_score_is_what_a_real_pass_with_only_that_layer_compressed_gives() {
    for model in [resnet(), vit()] {
        let exact = gradients(&model, &pass());
        let mut codecs_found = Vec::new();
        for draws in [1, 3] {
            let trials = own_trials(&model, &codecs(&PACKING), draws);
            let loss = |pass: &Pass| loss_of(&model, pass, 1);
            let (_, outcomes) = OneOn::new(model.parameters(), &pass(), loss, &trials).unwrap();
            for (trial, outcome) in trials.iter().zip(&outcomes) {
                let (layer, codec, found) = (&*trial.layer, trial.codec.spec(), effect(outcome));
                let own = format!("{layer}.weight");
                let plan = Plan::parse(&format!("{layer}={codec}")).unwrap();
                plan.apply(model.save_points()).unwrap();
                let mut real = Vec::new();
                for draw in 0..draws {
                    let ledger = Ledger::new();
                    let pass = pass().with_codec_draw(draw).with_ledger(&ledger);
                    let gradients = gradients(&model, &pass);
                    for (name, exact) in exact.iter().filter(|(name, _)| **name != own) {
                        assert_eq!(*exact, gradients[name], "{layer}={codec} changes {name}");
                    }
                    let entries = ledger.entries();
                    let input = |e: &&Entry| *e.layer == *layer && e.kind == KeptKind::Input;
                    let kept = entries.iter().find(input).unwrap().bytes.total() as u64;
                    assert_eq!(found.kept_bytes, kept, "{layer}={codec}");
                    real.push(gradients[&own].clone());
                }
                Plan::parse("none").unwrap().apply(model.save_points()).unwrap();
                let (error, bias) = error_and_bias(&exact[&own], &real);
                let bits = |bias: Option<f64>| bias.map(f64::to_bits);
                assert_eq!(found.squared_error.to_bits(), error.to_bits(), "{layer}={codec}");
                assert_eq!(bits(found.squared_bias), bits(bias), "{layer}={codec}");
                assert_eq!(found.compared, Compared::Own);
                codecs_found.push(codec);
            }
        }
        codecs_found.sort();
        codecs_found.dedup();
        assert_eq!(codecs_found.len(), PACKING.len(), "{codecs_found:?}");
    }
}

#[test]
fn a_pass_of_its_own_shows_the_same_and_all_codecs_take_one_pass() {
    let model = vit();
    let trials = own_trials(&model, &codecs(&PACKING), 2);
    let passes = AtomicUsize::new(0);
    let loss = |pass: &Pass| {
        passes.fetch_add(1, Ordering::Relaxed);
        loss_of(&model, pass, 1)
    };
    let (one_on, outcomes) = OneOn::new(model.parameters(), &pass(), loss, &trials).unwrap();
    assert_eq!(passes.load(Ordering::Relaxed), 1);
    for (trial, outcome) in trials.iter().zip(&outcomes) {
        let (own, alone) = (effect(outcome), one_on.alone(trial).unwrap().unwrap());
        assert_eq!(own.squared_error.to_bits(), alone.squared_error.to_bits(), "{trial:?}");
        assert_eq!((own.kept_bytes, &own.copy), (alone.kept_bytes, &alone.copy), "{trial:?}");
    }
    assert_eq!(passes.load(Ordering::Relaxed), 1 + 2 * trials.len());
}

/// Errors of conv and linear layers lie in different gradients, so their squares add up.
#[test]
fn squared_errors_of_layers_add_up_to_that_of_all_together() {
    let model = resnet();
    let exact = gradients(&model, &pass());
    for codec in ["pool2", "hosvd:0.8", "bf16"] {
        let trials = own_trials(&model, &codecs(&[codec]), 1);
        let loss = |pass: &Pass| loss_of(&model, pass, 1);
        let (_, outcomes) = OneOn::new(model.parameters(), &pass(), loss, &trials).unwrap();
        let sum: f64 = outcomes.iter().map(|outcome| effect(outcome).squared_error).sum();
        let plan: Vec<String> =
            trials.iter().map(|trial| format!("{}={codec}", trial.layer)).collect();
        Plan::parse(&plan.join(",")).unwrap().apply(model.save_points()).unwrap();
        let real = gradients(&model, &pass());
        Plan::parse("none").unwrap().apply(model.save_points()).unwrap();
        let all: f64 = exact.iter().map(|(name, g)| squared_error(g, &real[name])).sum();
        assert!((sum - all).abs() <= 1e-9 * all, "{codec}: {sum} for {all}");
    }
}

/// What a plan keeps, from what was measured of single layers: copies that are shared once, and what is
/// fixed.
fn predicted(survey: &Survey, kept: &BTreeMap<String, (u64, String)>) -> u64 {
    let mut copies = BTreeMap::new();
    for layer in &survey.layers {
        let exact = (layer.bytes, layer.copy.clone());
        let (bytes, copy) = kept.get(layer.layer.name()).cloned().unwrap_or(exact);
        copies.insert((layer.source, copy), bytes);
    }
    copies.values().sum::<u64>() + survey.fixed.iter().map(|fixed| fixed.bytes).sum::<u64>()
}

#[test]
fn kept_bytes_of_a_mixed_plan_follow_from_single_layers() {
    // A shortcut shares its block's input, and query, key and value share theirs.
    let plans = [
        (resnet(), "none"),
        (resnet(), "conv=pool2"),
        (resnet(), "conv=q2,layer2.0.conv1=q8,norm=q4,layer1.0.conv1=none,layer3.0.conv1=none"),
        (vit(), "none"),
        (vit(), "linear=q2,blocks.0.attn.qkv=q8,activation=bf16,attention=q8"),
        (transformer(), "none"),
        (transformer(), "linear=q2,norm=q8,*.softmax=q4,*.qkv_nets.1=none"),
        (transformer(), "linear=q8,*.qkv_nets.0=q2,*.qkv_nets.2=bf16,attention=q8,*.value=none"),
    ];
    for (model, plan) in plans {
        let parsed = Plan::parse(plan);
        let survey_of = surveyed(&model, &[]);
        let mut kept = BTreeMap::new();
        let loss = |pass: &Pass| loss_of(&model, pass, 1);
        let (one_on, _) = OneOn::new(model.parameters(), &pass(), loss, &[]).unwrap();
        if let Err(error) = parsed.as_ref().unwrap().apply(model.save_points()) {
            panic!("{plan}: {error}");
        }
        let choices: Vec<_> = model
            .save_points()
            .iter()
            .map(|layer| (layer.name().to_owned(), layer.codec()))
            .collect();
        Plan::parse("none").unwrap().apply(model.save_points()).unwrap();
        for (name, codec) in choices {
            let saves = survey_of.layers.iter().any(|layer| layer.layer.name() == name);
            if saves && codec.spec() != "none" {
                let layer = name.as_str().into();
                let trial = Trial { layer, codec, draws: 1, state: CodecState::default() };
                let found = one_on.alone(&trial).unwrap().unwrap();
                kept.insert(name, (found.kept_bytes, found.copy));
            }
        }
        parsed.unwrap().apply(model.save_points()).unwrap();
        let ledger = Ledger::new();
        let real = pass().freeze_statistics().with_ledger(&ledger);
        let held = loss_of(&model, &real, 1).unwrap();
        assert_eq!(predicted(&survey_of, &kept), ledger.kept() as u64, "{plan}");
        drop(held);
    }
}

#[test]
fn layers_that_share_a_tensor_have_its_number() {
    let source = |survey: &Survey, name: &str| {
        survey.layers.iter().find(|layer| layer.layer.name() == name).unwrap().source
    };
    let residual = surveyed(&resnet(), &[]);
    let of = |name| source(&residual, name);
    assert_eq!(of("layer2.0.conv1"), of("layer2.0.downsample.0"));
    assert_ne!(of("layer2.0.conv1"), of("layer2.0.conv2"));
    let transformer = surveyed(&transformer(), &[]);
    let of = |net: u32| {
        let layer = format!("encoder.encoder_layers.0.multi_headed_attention.qkv_nets.{net}");
        source(&transformer, &layer)
    };
    assert_eq!((of(0), of(0)), (of(1), of(2)), "query, key and value have one input");
}

/// Codecs that remember are tried as they are after a batch, as a real pass would have them.
#[test]
fn codecs_that_remember_settle_first() {
    let model = resnet();
    let settling = pass();
    for (layer, spec) in [
        ("layer2.0.conv2", "mesa"),
        ("layer2.0.conv2", "asi:0.8"),
        ("layer3.0.conv1", "resprop:0.1"),
    ] {
        let codec = packlight_codec::parse(spec).unwrap();
        let state = CodecState::default();
        let mut trials = [Trial { layer: layer.into(), codec, draws: 1, state }];
        let parameters = model.parameters();
        let fresh = trials[0].clone();
        let buffers =
            || parameters.tensors().unwrap()["bn1.running_mean"].to_vec1::<f32>().unwrap();
        let before = buffers();
        settle(parameters, &settling, |pass| loss_of(&model, pass, 0), &mut trials).unwrap();
        assert_eq!(buffers(), before);
        assert!(trials[0].state.bytes() > 0, "{spec}");

        let loss = |pass: &Pass| loss_of(&model, pass, 1);
        let (one_on, _) = OneOn::new(parameters, &pass(), loss, &[]).unwrap();
        let found = one_on.alone(&trials[0]).unwrap().unwrap().squared_error;
        assert_ne!(found, one_on.alone(&fresh).unwrap().unwrap().squared_error, "{spec}");

        let exact = gradients(&model, &pass());
        Plan::parse(&format!("{layer}={spec}")).unwrap().apply(model.save_points()).unwrap();
        let settled = settling.clone().settle_codecs();
        loss_of(&model, &settled, 0).unwrap().backward().unwrap();
        let real = gradients(&model, &pass());
        Plan::parse("none").unwrap().apply(model.save_points()).unwrap();
        let expected: f64 = exact.iter().map(|(name, g)| squared_error(g, &real[name])).sum();
        assert!((found - expected).abs() <= 1e-12 * expected, "{spec}: {found} for {expected}");
    }
}

#[test]
fn layers_restore_as_much_at_a_time_as_codec_and_operation_need() {
    let specs = ["q2", "topk:0.1", "pool2"];
    let of_vit = surveyed(&vit(), &codecs(&specs));
    let restored = |name: &str| {
        let layer = of_vit.layers.iter().find(|layer| layer.layer.name() == name).unwrap();
        let bytes = layer.codecs.iter().map(|packing| packing.as_ref().unwrap().restored_bytes);
        let shares: Vec<f64> = bytes.map(|bytes| bytes as f64 / layer.bytes as f64).collect();
        shares
    };
    // GELU and layer norm restore codes as they read them. A linear layer has fewer bytes here than it restores of codes
    // at a time, and needs no values of block means. A product of activations needs whole tensors.
    assert_eq!(restored("blocks.0.mlp.act"), [0.0, 1.0, 1.0]);
    assert_eq!(restored("blocks.0.norm1"), [0.0, 1.0, 1.0]);
    assert_eq!(restored("blocks.0.mlp.fc2"), [1.0, 1.0, 0.0]);
    assert_eq!(restored("blocks.0.attn.query"), [1.0, 1.0, 1.0]);
    let mlp = made(ModelSpec::new(Mlp { hidden: vec![8] }));
    let images = Tensor::zeros((2000, 3, 16, 16), DType::F32, &Device::Cpu).unwrap();
    let labels = Tensor::zeros(2000, DType::U32, &Device::Cpu).unwrap();
    let loss =
        |pass: &Pass| mlp.loss(&mlp.forward(&Activation::from_tensor(&images, pass)?)?, &labels);
    let of_mlp = survey(mlp.parameters(), &pass(), loss, &codecs(&["q2"])).unwrap();
    let first = of_mlp.layers[0].codecs[0].as_ref().unwrap();
    assert!(of_mlp.layers[0].bytes > linear::RESTORED as u64);
    assert_eq!(first.restored_bytes, linear::RESTORED as u64);
}

#[test]
fn codecs_that_cannot_pack_a_layer_say_so() {
    let model = resnet();
    let survey = surveyed(&model, &codecs(&["qb:16", "pool2"]));
    let of = |name: &str| survey.layers.iter().find(|l| l.layer.name() == name).unwrap();
    let reason = of("conv1").codecs[0].as_ref().unwrap_err();
    assert!(reason.contains("qb:16"), "{reason}");
    let pooled = of("conv1").codecs[1].as_ref().unwrap();
    assert!(!pooled.remembers, "pool2 packs it and remembers nothing");
    let codec = packlight_codec::parse("qb:16").unwrap();
    let trial = Trial { layer: "conv1".into(), codec, draws: 1, state: CodecState::default() };
    let loss = |pass: &Pass| loss_of(&model, pass, 1);
    let trials = std::slice::from_ref(&trial);
    let (one_on, outcomes) = OneOn::new(model.parameters(), &pass(), loss, trials).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap_err(), reason);
    assert_eq!(one_on.alone(&trial).unwrap().unwrap_err(), *reason);
    // What it keeps serves a GELU alone, which shows only in the backward pass.
    let of_gelu = surveyed(&vit(), &codecs(&["regelu2"]));
    let packs: Vec<&str> = of_gelu
        .layers
        .iter()
        .filter(|layer| layer.codecs[0].is_ok())
        .map(|layer| layer.layer.name())
        .collect();
    assert_eq!(packs, ["blocks.0.mlp.act", "blocks.1.mlp.act"]);
    let norm = Trial { layer: "bn1".into(), ..trial };
    assert!(
        OneOn::new(model.parameters(), &pass(), loss, &[norm]).is_err(),
        "it has no weight gradient"
    );
}
