//! Training of biases alone: their gradients, and what is kept for them.

use candle_nn::ParamsAdamW;
use packlight_autograd::Entry;
use packlight_nn::Trainer;
use packlight_nn::optimizer::{AdamW, Sgd, SgdConfig, Update};
use packlight_record::LayerKind;

use super::*;

fn planned(spec: &ModelSpec, plan: &str) -> Model {
    let plan = Plan::parse(plan).unwrap();
    Model::planned(spec, &plan, 3, DType::F64, &Device::Cpu).unwrap()
}

/// The entries of layers of this kind.
fn kept_by(model: &Model, step: &Step, kind: LayerKind) -> Vec<Entry> {
    let layers = model.save_points().iter().filter(|layer| layer.kind() == kind);
    let names: Vec<_> = layers.map(|layer| layer.name()).collect();
    let entries = step.ledger.entries().into_iter();
    entries.filter(|entry| names.contains(&&*entry.layer)).collect()
}

fn is_bias(name: &str) -> bool {
    name.ends_with(".bias")
}

#[test]
fn biases_have_the_gradients_of_whole_training_and_no_conv_or_linear_layer_keeps_its_input() {
    let mlp = ModelSpec::new(Mlp { hidden: vec![8, 6] });
    let mlp = mlp.for_images(3, SIDE, 10).unwrap();
    for spec in of_tokens().into_iter().chain([mlp]) {
        let name = spec.name();
        let (whole, tuned) = (step_of(&spec, "none"), step_of(&spec, "bias=all"));
        assert_eq!(whole.logits, tuned.logits, "{name}");
        let model = planned(&spec, "bias=all");
        let weighted = |kind| matches!(kind, LayerKind::Conv | LayerKind::Linear);
        let classifier =
            model.save_points().iter().rfind(|layer| weighted(layer.kind())).unwrap().name();
        let trained =
            |name: &String| is_bias(name) || name.strip_suffix(".weight") == Some(classifier);
        let expected: BTreeMap<_, _> =
            whole.gradients.into_iter().filter(|(name, _)| trained(name)).collect();
        assert!(expected.len() > 3, "{name}: {}", expected.len());
        assert_eq!(tuned.gradients, expected, "{name}");
        for kind in [LayerKind::Conv, LayerKind::Linear] {
            let kept = kept_by(&model, &tuned, kind);
            assert!(kept.iter().all(|entry| &*entry.layer == classifier), "{name}: {kept:?}");
        }
        for plan in ["bias=all,checkpoint=block", "bias=all,checkpoint=sqrt"] {
            if Model::blank(&spec, &Plan::parse(plan).unwrap(), DType::F64).is_ok() {
                assert_eq!(step_of(&spec, plan).gradients, tuned.gradients, "{name} {plan}");
            }
        }
    }
}

/// Cai et al., "TinyTL" (NeurIPS 2020): one bit for each ReLU. Norms with running statistics keep a factor
/// for each channel, but for the first, before which nothing trains.
#[test]
fn a_resnet_keeps_masks_factors_and_what_its_classifier_reads() {
    let tuned = step("bias=all");
    let model = planned(&resnet18(), "bias=all");
    let trained: Vec<_> = tuned.gradients.keys().cloned().collect();
    let all = model.parameters().named().map(|(name, _)| name.to_owned());
    let mut expected: Vec<_> = all.filter(|name| is_bias(name) || name == "fc.weight").collect();
    expected.sort();
    assert_eq!(trained, expected);
    assert_eq!(trained.len(), 20 + 2);

    // Maps of 16 x 16, 8 x 8, 4 x 4 and 2 x 2 pixels with 4, 8, 16 and 32 channels.
    let kept = |kind| -> usize {
        kept_by(&model, &tuned, kind).iter().map(|entry| entry.bytes.total()).sum()
    };
    let elements = [5 * 4 * 256, 4 * 8 * 64, 4 * 16 * 16, 4 * 32 * 4];
    assert_eq!(kept(LayerKind::Relu), BATCH * elements.iter().sum::<usize>() / 8);
    assert_eq!(kept(LayerKind::Norm), 8 * (4 * 4 + 5 * 8 + 5 * 16 + 5 * 32));
    assert_eq!(kept(LayerKind::Conv), 0);
    assert_eq!(kept(LayerKind::Linear), BATCH * 32 * 8);
    assert_eq!(tuned.inputs(), BATCH * 32 * 8);
    assert!(tuned.buffers.iter().all(|&value| value == 0.0 || value == 1.0));
}

#[test]
fn the_last_layers_train_whole_beside_the_biases_of_all_and_their_codecs_pack() {
    let (last, both) = (step("last=2"), step("last=2,bias=all"));
    for (name, gradient) in &last.gradients {
        assert_eq!(&both.gradients[name], gradient, "{name}");
    }
    let more = both.gradients.keys().filter(|name| !last.gradients.contains_key(*name));
    assert_eq!(more.filter(|name| is_bias(name)).count(), 20);
    assert_eq!(both.inputs(), last.inputs());
    let packed = step("last=2,bias=all,default=q8");
    assert!(packed.inputs() < both.inputs() / 4);
    for (name, gradient) in &both.gradients {
        let is_exact = &packed.gradients[name] == gradient;
        assert_eq!(is_exact, is_bias(name), "{name}");
    }
}

/// With weight decay, too, which would change what has no gradient.
#[test]
fn no_weight_changes_and_no_running_statistic() {
    fn train<O: Update>(spec: &ModelSpec, make: impl Fn(&Model) -> O) {
        let model = planned(spec, "bias=all");
        let before: BTreeMap<_, _> = model.parameters().tensors().unwrap();
        let mut trainer = Trainer::new(model.parameters(), make(&model), 0, 2);
        let (inputs, labels) = images(&[BATCH, 3, SIDE, SIDE]);
        for _ in 0..2 {
            trainer.step(|pass| model.loss(&model.logits(&inputs, pass)?, &labels)).unwrap();
        }
        for (name, tensor) in model.parameters().tensors().unwrap() {
            let is_same = values(&tensor) == values(&before[&name]);
            let trains = is_bias(&name) || ["fc.weight", "head.weight"].contains(&name.as_str());
            assert_eq!(is_same, !trains, "{name}");
        }
    }
    let [vit, ..] = of_tokens();
    for spec in [resnet18(), vit] {
        train(&spec, |model| {
            let config = SgdConfig { lr: 0.1, weight_decay: 0.1, ..SgdConfig::default() };
            Sgd::for_parameters(model.parameters(), config).unwrap()
        });
        train(&spec, |model| {
            let config = ParamsAdamW { weight_decay: 0.1, ..ParamsAdamW::default() };
            AdamW::for_parameters(model.parameters(), config).unwrap()
        });
    }
}
