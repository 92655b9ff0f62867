//! Auxiliary residual activation, checkpointing and fine-tuning: what is kept, and which
//! gradients change.

#![allow(clippy::unwrap_used)]

#[path = "memory_strategy/biases.rs"]
mod biases;
#[path = "memory_strategy/recompute.rs"]
mod recompute;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Ledger, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::Plan;
use packlight_nn::model::{
    Bert, Gpt, Inputs, Mixer, Mlp, Model, ModelSpec, Resnet18, Resnet20, Resnet50, Takes,
    Transformer, Vit,
};
use packlight_record::KeptKind;

const BATCH: usize = 4;
const SIDE: usize = 16;
const WIDTH: usize = 4;

fn sample(shape: &[usize]) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Two pairs of sequences, one shorter than the other, and what comes next in each.
fn sequences() -> (Inputs, Tensor) {
    let source = [[3u32, 4, 5, 6, 7], [10, 2, 9, 0, 0]];
    let (target, next) = ([[1u32, 8, 9, 3], [1, 5, 5, 0]], [[8u32, 9, 3, 2], [5, 5, 2, 0]]);
    let tensor = |rows: &[[u32; 4]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
    let source = Tensor::new(&source, &Device::Cpu).unwrap();
    (Inputs::Pairs { source, target: tensor(&target) }, tensor(&next))
}

/// Two windows of a text, and what comes next in each.
fn text() -> (Inputs, Tensor) {
    let (now, next) = ([[3u32, 4, 5, 6], [10, 2, 9, 0]], [[4u32, 5, 6, 7], [2, 9, 0, 3]]);
    let tensor = |rows: &[[u32; 4]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
    (Inputs::Text(tensor(&now)), tensor(&next))
}

/// Two texts, one shorter than the other, and their classes.
fn labelled() -> (Inputs, Tensor) {
    let tokens = Tensor::new(&[[3u32, 4, 5, 6], [10, 2, 0, 0]], &Device::Cpu).unwrap();
    (Inputs::Text(tokens), Tensor::new(&[1u32, 7], &Device::Cpu).unwrap())
}

fn images(shape: &[usize]) -> (Inputs, Tensor) {
    let labels = Tensor::new(&[1u32, 7, 0, 3], &Device::Cpu).unwrap();
    (Inputs::Images(sample(shape)), labels)
}

struct Step {
    logits: Vec<f64>,
    gradients: BTreeMap<String, Vec<f64>>,
    buffers: Vec<f64>,
    ledger: Ledger,
}

impl Step {
    fn inputs(&self) -> usize {
        let entries = self.ledger.entries();
        let of = entries.iter().filter(|entry| entry.kind == KeptKind::Input && !entry.again);
        of.map(|entry| entry.bytes.total()).sum()
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn resnet18() -> ModelSpec {
    let spec = ModelSpec::new(Resnet18 { width: WIDTH, ..Resnet18::default() });
    spec.for_images(3, SIDE, 10).unwrap()
}

fn resnet50() -> ModelSpec {
    let spec = ModelSpec::new(Resnet50 { width: WIDTH, ..Resnet50::default() });
    spec.for_images(3, SIDE, 10).unwrap()
}

fn step_of(spec: &ModelSpec, plan: &str) -> Step {
    let (inputs, labels) = match spec.takes() {
        Takes::Pairs { .. } => sequences(),
        Takes::Text => text(),
        Takes::LabelledText { .. } => labelled(),
        _ => images(&[BATCH, 3, SIDE, SIDE]),
    };
    step_on(&inputs, &labels, spec, plan)
}

fn step_on(inputs: &Inputs, labels: &Tensor, spec: &ModelSpec, plan: &str) -> Step {
    let plan = Plan::parse(plan).unwrap();
    let model = Model::planned(spec, &plan, 3, DType::F64, &Device::Cpu).unwrap();
    let ledger = Ledger::new();
    let pass = Pass::training().with_seed(3, 0).with_ledger(&ledger);
    let logits = model.logits(inputs, &pass).unwrap();
    let loss = model.loss(&logits, labels).unwrap();
    let store = loss.backward().unwrap();
    let gradients = model.parameters().named().filter_map(|(name, var)| {
        store.get(var).map(|gradient| (name.to_owned(), values(gradient)))
    });
    Step {
        logits: values(logits.data()),
        gradients: gradients.collect(),
        buffers: model.parameters().buffers().flat_map(|(_, var)| values(var)).collect(),
        ledger,
    }
}

fn step(plan: &str) -> Step {
    step_of(&resnet18(), plan)
}

#[test]
fn checkpointing_changes_no_bit() {
    for spec in [resnet18(), resnet50()] {
        let plain = step_of(&spec, "none");
        for plan in ["sqrt", "block", "cell", "1", "5"] {
            let name = format!("{} {plan}", spec.name());
            let again = step_of(&spec, &format!("checkpoint={plan}"));
            assert_eq!(plain.logits, again.logits, "{name}");
            assert_eq!(plain.gradients, again.gradients, "{name}");
            assert_eq!(plain.buffers, again.buffers, "{name}");
            assert!(again.ledger.peak() < plain.ledger.peak(), "{name}");
            assert_eq!(again.ledger.kept(), 0, "{name}");
        }
    }
}

#[test]
fn recomputed_scores_change_no_bit_and_are_not_kept() {
    let [vit, _, transformer, gpt, bert] = of_tokens();
    for spec in [vit, transformer, gpt, bert] {
        let plain = step_of(&spec, "none");
        let again = step_of(&spec, "scores=recompute");
        let name = spec.name();
        assert_eq!(plain.logits, again.logits, "{name}");
        assert_eq!(changed(&plain, &again), [""; 0], "{name}");
        assert_eq!(again.ledger.kept(), 0, "{name}");
        let kept = |step: &Step, softmax: bool| {
            let entries = step.ledger.entries();
            let of = entries.iter().filter(|entry| entry.layer.ends_with("softmax") == softmax);
            of.map(|entry| entry.bytes.total()).sum::<usize>()
        };
        assert!(kept(&plain, true) > 0 && kept(&again, true) == 0, "{name}");
        assert_eq!(kept(&plain, false), kept(&again, false), "{name}");
        // Codecs are for what is kept still.
        let packed = step_of(&spec, "scores=recompute,attention=q8");
        assert!(kept(&packed, false) < kept(&again, false), "{name}");
    }
    let plan = Plan::parse("scores=recompute").unwrap();
    let refused = |spec: ModelSpec| Model::planned(&spec, &plan, 3, DType::F64, &Device::Cpu).err();
    let error = refused(resnet18()).unwrap().to_string();
    assert!(error.contains("`scores=recompute` is for attention; resnet18 has none"), "{error}");
}

#[test]
fn square_root_segments_keep_least_beside_the_largest_segment() {
    let kept = |plan: &str| {
        let step = step(plan);
        let entries = step.ledger.entries();
        let of = entries.iter().filter(|entry| entry.layer.starts_with("segment"));
        of.map(|entry| entry.bytes.total()).collect::<Vec<_>>()
    };
    // Eight blocks in three segments, which begin at layer1.0, layer2.0 and layer3.1.
    let pixel = BATCH * 8;
    let maps = [WIDTH * 16 * 16, WIDTH * 16 * 16, 4 * WIDTH * 4 * 4];
    assert_eq!(kept("checkpoint=sqrt"), maps.map(|elements| pixel * elements));
    assert_eq!(kept("checkpoint=block").len(), 8);
}

/// Of n equal layers in k segments at most k + n / k inputs are held at a time (Chen et al., 2016),
/// least of all with as many segments as the square root of n. One less here: a segment's own input
/// serves the first of its layers.
#[test]
fn of_equal_layers_the_square_root_of_their_number_takes_least() {
    const LAYERS: usize = 16;
    const FEATURES: usize = 64;
    let mlp = ModelSpec::new(Mlp { hidden: vec![FEATURES; LAYERS] });
    let spec = mlp.for_images(1, 8, 10).unwrap();
    let (inputs, labels) = images(&[BATCH, 1, 8, 8]);
    let peak = |plan: &str| {
        let step = step_on(&inputs, &labels, &spec, plan);
        step.ledger.peak() as f64 / (BATCH * FEATURES * 8) as f64
    };
    let peaks: Vec<f64> = (1..=LAYERS).map(|k| peak(&format!("checkpoint={k}"))).collect();
    let least = peaks.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(peak("checkpoint=sqrt"), least, "{peaks:?}");
    assert_eq!(peaks.iter().position(|&peak| peak == least), Some(3), "{peaks:?}");
    for k in [1, 2, 4] {
        let segment = (LAYERS / k) as f64;
        // A ReLU's mask takes a 64th of an f64 input.
        let expected = k as f64 + segment - 1.0 + segment / 64.0;
        assert_eq!(peaks[k - 1], expected, "{k} segments: {peaks:?}");
    }
}

#[test]
fn networks_that_are_not_residual_are_checkpointed_too() {
    let mlp = ModelSpec::new(Mlp { hidden: vec![9, 8, 7, 6] });
    let mlp = mlp.for_images(3, SIDE, 10).unwrap();
    for spec in of_tokens().into_iter().chain([mlp]) {
        let plain = step_of(&spec, "none");
        for plan in ["sqrt", "block", "1", "3"] {
            let name = format!("{} {plan}", spec.name());
            let again = step_of(&spec, &format!("checkpoint={plan}"));
            assert_eq!(plain.logits, again.logits, "{name}");
            assert_eq!(plain.gradients, again.gradients, "{name}");
            assert_eq!(again.ledger.kept(), 0, "{name}");
            // A block of an MLP keeps its input alone in any case.
            assert!(name == "mlp block" || again.inputs() < plain.inputs(), "{name}");
            // One segment is computed again as a whole, and holds all that it would have.
            assert!(plan == "1" || again.ledger.peak() < plain.ledger.peak(), "{name}");
        }
        for (plan, part) in [("ara=2", "residual networks"), ("checkpoint=cell", "`sqrt`")] {
            let plan = Plan::parse(plan).unwrap();
            let error = Model::planned(&spec, &plan, 3, DType::F64, &Device::Cpu).err().unwrap();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn a_transformer_keeps_its_encoder_s_output_once_for_all_segments() {
    let spec =
        ModelSpec::new(Transformer { width: 8, depth: 4, heads: 2, ..Transformer::default() });
    let step = step_of(&spec.for_sequences(11, 13).unwrap(), "checkpoint=sqrt");
    let entries = step.ledger.entries();
    let segments: Vec<_> = entries.iter().filter(|entry| entry.layer.contains("segment")).collect();
    let names: Vec<_> = segments.iter().map(|entry| &*entry.layer).collect();
    let expected = ["encoder.segment1", "encoder.segment2", "decoder.segment1"];
    assert_eq!(names[..3], expected);
    assert_eq!(names[3..], ["decoder.segment1.memory", "decoder.segment2"]);
    // Two sequences, of five tokens of eight features as sources and of four as targets.
    let tokens = segments.iter().map(|entry| entry.bytes.total() / (2 * 8 * 8));
    assert_eq!(tokens.collect::<Vec<_>>(), [5, 5, 4, 5, 4]);
}

/// Parameters whose gradients differ.
fn changed(a: &Step, b: &Step) -> Vec<String> {
    let differs = |(name, gradient): (&String, &Vec<f64>)| {
        (b.gradients[name] != *gradient).then(|| name.clone())
    };
    a.gradients.iter().filter_map(differs).collect()
}

#[test]
fn auxiliary_residual_activation_changes_first_convolutions_of_its_blocks_alone() {
    let (plain, auxiliary) = (step("none"), step("ara=3:2:2:1"));
    assert_eq!(plain.logits, auxiliary.logits);
    // Stages are shifted: layer2.0 ends the first, layer3.0 the second, layer4.0 the third.
    let expected = [
        "layer1.1.conv1.weight",
        "layer2.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer3.0.conv1.weight",
        "layer3.0.downsample.0.weight",
        "layer4.0.conv1.weight",
        "layer4.0.downsample.0.weight",
    ];
    assert_eq!(changed(&plain, &auxiliary), expected);
    // The inputs of those four blocks are no longer kept.
    let maps = [WIDTH * 256, WIDTH * 256, 2 * WIDTH * 64, 4 * WIDTH * 16];
    let freed = BATCH * 8 * maps.iter().sum::<usize>();
    assert_eq!(plain.inputs() - auxiliary.inputs(), freed);
    assert!(changed(&plain, &step("ara=1:1:1:1")).is_empty());
}

#[test]
fn the_first_bottleneck_block_is_in_no_group() {
    let plain = step_of(&resnet50(), "none");
    let auxiliary = step_of(&resnet50(), "ara=3:4:4:2");
    assert_eq!(plain.logits, auxiliary.logits);
    let expected = [
        "layer1.2.conv1.weight",
        "layer2.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.2.conv1.weight",
        "layer2.3.conv1.weight",
        "layer3.0.conv1.weight",
        "layer3.0.downsample.0.weight",
        "layer3.2.conv1.weight",
        "layer3.3.conv1.weight",
        "layer3.4.conv1.weight",
        "layer4.0.conv1.weight",
        "layer4.0.downsample.0.weight",
        "layer4.2.conv1.weight",
    ];
    assert_eq!(changed(&plain, &auxiliary), expected);
    let both = step_of(&resnet50(), "ara=3:4:4:2,checkpoint=cell");
    assert!(changed(&auxiliary, &both).is_empty());
    assert!(both.ledger.peak() < auxiliary.ledger.peak());
}

#[test]
fn auxiliary_residual_activation_goes_with_checkpointed_cells() {
    let (auxiliary, both) = (step("ara=3:2:2:1"), step("ara=3:2:2:1,checkpoint=cell"));
    assert!(changed(&auxiliary, &both).is_empty());
    assert!(both.ledger.peak() < auxiliary.ledger.peak());
    assert!(both.ledger.entries().iter().any(|entry| entry.again));
    for (plan, part) in [
        ("ara=2:2:2:2,checkpoint=block", "`checkpoint=cell`"),
        ("ara=2:2", "4 group sizes"),
        ("ara=2:0:2:2", "at least 1"),
    ] {
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(&resnet18(), &plan, 3, DType::F64, &Device::Cpu);
        let error = model.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    for plan in ["ara=2:x", "ara=", "checkpoint=often", "checkpoint=0", "last=few"] {
        assert!(Plan::parse(plan).is_err(), "{plan}");
    }
}

#[test]
fn resnet20_has_three_shifted_stages() {
    let spec = ModelSpec::new(Resnet20 { width: WIDTH });
    let spec = spec.for_images(3, SIDE, 10).unwrap();
    let changed = changed(&step_of(&spec, "none"), &step_of(&spec, "ara=2:2:2"));
    let expected = ["layer1.1.conv1", "layer2.0.conv1", "layer2.2.conv1", "layer3.2.conv1"];
    assert_eq!(changed, expected.map(|name| format!("{name}.weight")));
}

#[test]
fn fine_tuning_keeps_what_the_last_layers_need_and_no_more() {
    let (whole, tuned) = (step("none"), step("last=4"));
    let trained: Vec<_> = tuned.gradients.keys().map(String::as_str).collect();
    let expected = [
        "fc.bias",
        "fc.weight",
        "layer4.0.conv2.weight",
        "layer4.0.downsample.0.weight",
        "layer4.1.conv1.weight",
        "layer4.1.conv2.weight",
    ];
    assert_eq!(trained, expected);
    // The inputs of the four convolutions, one of them of the stage before, and of the classifier.
    let maps = 8 * WIDTH * 2 * 2;
    let inputs = 3 * maps + 4 * WIDTH * 4 * 4 + 8 * WIDTH;
    assert_eq!(tuned.inputs(), BATCH * 8 * inputs);
    assert!(tuned.ledger.peak() * 5 < whole.ledger.peak());
    // Running statistics stay as they were made: means 0, variances 1.
    assert!(tuned.buffers.iter().all(|&value| value == 0.0 || value == 1.0));
}

#[test]
fn of_a_bottleneck_block_the_projection_is_last() {
    let tuned = step_of(&resnet50(), "last=8");
    let trained: Vec<_> = tuned.gradients.keys().map(String::as_str).collect();
    let expected = [
        "fc.bias",
        "fc.weight",
        "layer4.0.conv3.weight",
        "layer4.0.downsample.0.weight",
        "layer4.1.conv1.weight",
        "layer4.1.conv2.weight",
        "layer4.1.conv3.weight",
        "layer4.2.conv1.weight",
        "layer4.2.conv2.weight",
        "layer4.2.conv3.weight",
    ];
    assert_eq!(trained, expected);
}

/// The smallest models of tokens, with blocks enough to freeze some.
fn of_tokens() -> [ModelSpec; 5] {
    let vit = ModelSpec::new(Vit { width: 8, depth: 4, heads: 2, ..Vit::default() });
    let mixer = ModelSpec::new(Mixer { width: 8, depth: 4, ..Mixer::default() });
    let transformer = Transformer { width: 8, depth: 4, heads: 2, ..Transformer::default() };
    [
        vit.for_images(3, SIDE, 10).unwrap(),
        mixer.for_images(3, SIDE, 10).unwrap(),
        ModelSpec::new(transformer).for_sequences(11, 13).unwrap(),
        ModelSpec::new(Gpt { width: 8, depth: 4, heads: 2, ..Gpt::default() })
            .for_text(11)
            .unwrap(),
        ModelSpec::new(Bert { width: 8, depth: 4, heads: 2, ..Bert::default() })
            .for_labelled_text(11, 10)
            .unwrap(),
    ]
}

#[test]
fn what_is_frozen_keeps_nothing_in_any_model() {
    for spec in of_tokens() {
        for plan in ["last=4", "last=4,checkpoint=sqrt", "last=4,checkpoint=block"] {
            let model =
                Model::planned(&spec, &Plan::parse(plan).unwrap(), 3, DType::F64, &Device::Cpu);
            let model = model.unwrap();
            let names: Vec<_> = model.save_points().iter().map(|layer| layer.name()).collect();
            let first = model.save_points().iter().position(|layer| !layer.is_frozen()).unwrap();
            let tuned = step_of(&spec, plan);
            // A part that is computed again keeps what it reads where it stands, before its layers.
            let is_segment = |name: &&&str| {
                name.rsplit('.').next().is_some_and(|part| part.starts_with("segment"))
            };
            let segment = names[..first].iter().rev().find(is_segment).copied();
            let of_segment =
                |name: &&&str| segment.is_some_and(|segment| name.starts_with(segment));
            let read = names[..first].iter().filter(of_segment);
            let behind: Vec<_> = names[first..].iter().chain(read).copied().collect();
            for entry in tuned.ledger.entries() {
                let name = format!("{} {plan}: {}", spec.name(), entry.layer);
                assert!(behind.contains(&&*entry.layer), "{name} is frozen and keeps its input");
            }
            let trained: Vec<_> = model.parameters().trained().map(|(name, _)| name).collect();
            let found: Vec<_> = tuned.gradients.keys().map(String::as_str).collect();
            assert!(found.iter().all(|name| trained.contains(name)), "{found:?}");
            // Weights and biases of five layers; a tied head has its weight from a frozen table.
            let expected = if spec.takes() == Takes::Text { 8 } else { 10 };
            assert_eq!(found.len(), expected, "{found:?}");
        }
    }
}

#[test]
fn with_all_layers_frozen_nothing_is_kept_and_nothing_has_a_gradient() {
    for spec in of_tokens().into_iter().chain([resnet18()]) {
        let model = Model::new(&spec, 3, DType::F64, &Device::Cpu).unwrap();
        model.save_points().iter().for_each(|layer| layer.freeze(true));
        assert_eq!(model.parameters().trained().count(), 0);
        let (inputs, _) = match spec.takes() {
            Takes::Pairs { .. } => sequences(),
            Takes::Text => text(),
            Takes::LabelledText { .. } => labelled(),
            _ => images(&[BATCH, 3, SIDE, SIDE]),
        };
        let ledger = Ledger::new();
        let logits = model.logits(&inputs, &Pass::training().with_ledger(&ledger)).unwrap();
        assert!(ledger.entries().is_empty(), "{}", spec.name());
        assert!(!logits.into_tensor().unwrap().track_op(), "{}", spec.name());
    }
}
