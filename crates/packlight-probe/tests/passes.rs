//! Probing passes through a real network.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Ledger, Pass, SavePoint};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::{Resnet18, Vit};
use packlight_nn::{Model, ModelSpec, Module, Plan, Steps};
use packlight_probe::{SideBySide, whole_pass};
use packlight_record::{Fidelity, LayerKind, Record};

fn model(plan: &str) -> Model {
    let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let spec = spec.for_images(3, 16, 5).unwrap();
    let model = Model::new(&spec, 3, DType::F32, &Device::Cpu).unwrap();
    Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
    model
}

fn loss(model: &Model, pass: &Pass) -> packlight_nn::Result<Tensor> {
    let mut stream = Key::new(1, Purpose::Sample).stream();
    let pixels: Vec<f32> = (0..4 * 3 * 16 * 16).map(|_| stream.normal() as f32).collect();
    let images = Tensor::from_vec(pixels, (4, 3, 16, 16), &Device::Cpu)?;
    let labels = Tensor::new(&[0u32, 4, 2, 1], &Device::Cpu)?;
    let logits = model.forward(&Activation::from_tensor(&images, pass)?)?;
    model.loss(&logits, &labels)
}

fn side_by_side(model: &Model) -> Vec<Record> {
    let recorder = SideBySide::new();
    let pass = Pass::training().with_observer(recorder.clone());
    loss(model, &pass).unwrap().backward().unwrap();
    recorder.records(model.save_points(), 2, 40)
}

fn whole(model: &Model) -> Vec<(String, Fidelity)> {
    let pass = Pass::training();
    let records =
        whole_pass(model.parameters(), &pass, |pass| loss(model, pass), 3, 2, 40).unwrap();
    let of = |record| match record {
        Record::WholeGradient { epoch: 2, step: 40, parameter, fidelity, .. } => {
            (parameter, fidelity)
        }
        other => panic!("{other:?}"),
    };
    records.into_iter().map(of).collect()
}

#[test]
fn every_conv_and_linear_layer_is_recorded_in_forward_order() {
    let model = model("pool2");
    let expected: Vec<String> = model
        .save_points()
        .iter()
        .filter(|layer| matches!(layer.kind(), LayerKind::Conv | LayerKind::Linear))
        .map(|layer| layer.name().to_owned())
        .collect();
    let mut found = Vec::new();
    for record in side_by_side(&model) {
        let Record::Gradient {
            epoch,
            step,
            layer,
            fidelity,
            learning_indicator,
            sample_learning_indicator: None,
            kept_bytes,
            raw_bytes,
        } = record
        else {
            panic!("{record:?}")
        };
        assert_eq!((epoch, step), (2, 40));
        let (cosine, li) = (fidelity.cosine.unwrap(), learning_indicator.unwrap());
        if layer == "fc" {
            assert_eq!((cosine, li.count, kept_bytes), (1.0, 4, raw_bytes));
        } else {
            assert!(0.0 < cosine && cosine < 1.0, "{layer}: {cosine}");
            assert!(0.0 < li.mean && li.mean < 1.0, "{layer}: {li:?}");
            assert_eq!(li.count, 4);
            assert!(kept_bytes < raw_bytes / 2, "{layer}: {kept_bytes} of {raw_bytes}");
        }
        found.push(layer);
    }
    assert_eq!(found, expected);
}

#[test]
fn linear_layers_over_tokens_are_recorded_by_token_and_by_sample() {
    let spec = ModelSpec::new(Vit { width: 8, depth: 1, heads: 2, ..Vit::default() });
    let model = Model::new(&spec.for_images(3, 16, 5).unwrap(), 3, DType::F32, &Device::Cpu);
    let model = model.unwrap();
    Plan::parse("linear=pool2").unwrap().apply(model.save_points()).unwrap();
    for record in side_by_side(&model) {
        let Record::Gradient { layer, learning_indicator, sample_learning_indicator, .. } = record
        else {
            panic!("{record:?}")
        };
        let tokens = learning_indicator.unwrap();
        match (&*layer, sample_learning_indicator) {
            // The patches are a convolution, and the head reads one token of each of four samples.
            ("patch_embed.proj" | "head", samples) => {
                assert_eq!((tokens.count, samples), (4, None), "{layer}");
            }
            (_, samples) => {
                let samples = samples.unwrap();
                // 16 patches and the class token.
                assert_eq!((tokens.count, samples.count), (4 * 17, 4), "{layer}");
                assert!(0.0 < samples.mean && samples.mean < 1.0, "{layer}: {samples:?}");
                assert!(samples.max - samples.min < tokens.max - tokens.min, "{layer}");
            }
        }
    }
}

#[test]
fn the_identity_codec_is_exact() {
    for record in side_by_side(&model("none")) {
        let Record::Gradient { fidelity, learning_indicator, kept_bytes, raw_bytes, .. } = record
        else {
            panic!("{record:?}")
        };
        assert_eq!(fidelity.cosine, Some(1.0));
        assert_eq!(fidelity.relative_error, Some(0.0));
        assert!((learning_indicator.unwrap().min - 1.0).abs() < 1e-12);
        assert_eq!(kept_bytes, raw_bytes);
    }
    assert!(whole(&model("none")).iter().all(|(_, fidelity)| fidelity.cosine == Some(1.0)));
}

/// Errors in conv inputs do not propagate: the weight gradients are the same in one pass and in
/// two.
#[test]
fn pooled_conv_inputs_change_their_own_weight_gradients_alone() {
    let model = model("pool2");
    let layers: Vec<(String, Fidelity)> = side_by_side(&model)
        .into_iter()
        .map(|record| match record {
            Record::Gradient { layer, fidelity, .. } => (format!("{layer}.weight"), fidelity),
            other => panic!("{other:?}"),
        })
        .collect();
    for (parameter, fidelity) in whole(&model) {
        let cosine = fidelity.cosine.unwrap();
        match layers.iter().find(|(name, _)| *name == parameter) {
            Some((_, side)) => assert!((cosine - side.cosine.unwrap()).abs() < 1e-6, "{parameter}"),
            None => assert_eq!(cosine, 1.0, "{parameter}"),
        }
    }
}

#[test]
fn pooled_norm_inputs_change_what_lies_before_them() {
    let model = model("norm=pool2");
    let whole = whole(&model);
    let cosine = |name: &str| whole.iter().find(|(n, _)| n == name).unwrap().1.cosine.unwrap();
    assert!(cosine("conv1.weight") < 1.0);
    assert_eq!(cosine("fc.weight"), 1.0);
}

#[test]
fn two_passes_leave_codecs_and_running_statistics_as_they_were() {
    let model = model("layer1.*=pool4,default=pool2");
    let codecs =
        || model.save_points().iter().map(|layer| layer.codec().spec()).collect::<Vec<_>>();
    let buffers = || {
        let values = |(_, var): (&str, &candle_core::Var)| var.to_vec1::<f32>().unwrap();
        model.parameters().buffers().map(values).collect::<Vec<_>>()
    };
    let (codecs_before, buffers_before) = (codecs(), buffers());
    whole(&model);
    assert_eq!(codecs(), codecs_before);
    assert_eq!(buffers(), buffers_before);
    let failing = |_: &Pass| Err(candle_core::Error::Msg("no".into()).into());
    assert!(whole_pass(model.parameters(), &Pass::training(), failing, 1, 0, 0).is_err());
    assert_eq!(codecs(), codecs_before);
}

#[test]
fn calibrating_tells_codecs_which_layers_matter() {
    // GACT measures every 1,000 steps or as often as asked, ALAM at first and after a tenth of all.
    for (plan, idle, measured) in
        [("gact:2", 1, 0), ("gact:2", 999, 1000), ("gact:2:50", 99, 100), ("alam:2", 41, 40)]
    {
        let model = model(plan);
        let mut steps = Steps::new(model.parameters(), 1, 400);
        let mut at = |step| {
            steps.go_to(step);
            let pass = steps.begin(|pass| loss(&model, pass)).unwrap();
            loss(&model, &pass).unwrap().backward().unwrap();
            steps.allocate().unwrap();
            let bits = |layer: &Arc<SavePoint>| {
                Some(layer.codec_state().get("bits")?.to_scalar().unwrap())
            };
            model.save_points().iter().filter_map(bits).collect::<Vec<u8>>()
        };
        assert_eq!(at(idle), [0u8; 0], "{plan}: step {idle} is not one at which to measure");
        let bits = at(measured);
        assert!(bits.len() > 5, "{plan}: {bits:?}");
        assert!(bits.iter().any(|&b| b < 2) && bits.iter().any(|&b| b > 2), "{plan}: {bits:?}");
    }
}

#[test]
fn perplexities_are_the_errors_of_weight_gradients_and_a_budget_holds() {
    let errors: BTreeMap<String, f64> = side_by_side(&model("hosvd:0.8"))
        .into_iter()
        .map(|record| match record {
            Record::Gradient { layer, fidelity, .. } => {
                (layer, fidelity.relative_error.unwrap() * fidelity.exact_norm)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let budget = 0.05;
    let model = model(&format!("asi:{budget}MiB"));
    let mut steps = Steps::new(model.parameters(), 0, 400);
    let first_pass = steps.begin(|pass| loss(&model, pass)).unwrap();
    for layer in model.save_points().iter().filter(|layer| layer.kind() == LayerKind::Conv) {
        let name = layer.name();
        // The first convolution of a block has packed the shortcut's input, too.
        let shortcut = name.strip_suffix("conv1").map(|block| format!("{block}downsample.0"));
        let expected = match shortcut.and_then(|shortcut| errors.get(&shortcut)) {
            _ if name.ends_with("downsample.0") => 0.0,
            Some(shortcut) => errors[name].hypot(*shortcut),
            None => errors[name],
        };
        let found = layer.codec_state().get("perplexities").unwrap().to_vec1::<f64>().unwrap();
        let gap = (found[4] - expected).abs();
        assert!(gap <= 1e-5 * expected, "{name}: {} for {expected}", found[4]);
    }
    let kept = |pass: Pass| {
        let ledger = Ledger::new();
        loss(&model, &pass.with_ledger(&ledger)).unwrap().backward().unwrap();
        let entries = ledger.entries();
        let of_convolutions = entries.iter().filter(|entry| {
            let layer =
                model.save_points().iter().find(|layer| *layer.name() == *entry.layer).unwrap();
            layer.kind() == LayerKind::Conv
        });
        of_convolutions.map(|entry| entry.bytes.total()).sum::<usize>() as f64 / f64::from(1 << 20)
    };
    let mut next = || kept(steps.begin(|pass| loss(&model, pass)).unwrap());
    let (first, second) = (kept(first_pass), next());
    assert!(0.9 * budget < second && second <= budget && budget < first, "{first}, {second}");
    assert_eq!(next(), second);
}

#[test]
fn the_exact_pass_has_no_stand_ins_either() {
    let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let spec = spec.for_images(3, 16, 5).unwrap();
    let plan = Plan::parse("ara=2:2:2:2").unwrap();
    let model = Model::planned(&spec, &plan, 3, DType::F32, &Device::Cpu).unwrap();
    let changed: Vec<String> = whole(&model)
        .into_iter()
        .filter(|(_, fidelity)| fidelity.relative_error.is_some_and(|error| error > 0.01))
        .map(|(name, _)| name)
        .collect();
    assert!(changed.contains(&"layer1.1.conv1.weight".to_string()), "{changed:?}");
    assert!(changed.iter().all(|name| name.contains("conv1") || name.contains("downsample.0")));
}

/// What stands in for an input and that input are both behind a ReLU, and the one is a part of the
/// other, so that training on it descends for every sample (Woo and Jeon, ICLR 2023).
#[test]
fn auxiliary_residual_activation_has_a_positive_learning_indicator() {
    let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let spec = spec.for_images(3, 16, 5).unwrap();
    let plan = Plan::parse("ara=2:2:2:2").unwrap();
    let model = Model::planned(&spec, &plan, 3, DType::F32, &Device::Cpu).unwrap();
    let mut auxiliary = Vec::new();
    for record in side_by_side(&model) {
        let Record::Gradient { layer, fidelity, learning_indicator, .. } = record else {
            panic!("{record:?}")
        };
        if fidelity.cosine != Some(1.0) {
            let indicator = learning_indicator.unwrap();
            assert_eq!(indicator.nonpositive, 0.0, "{layer}: {indicator:?}");
            assert!(0.0 < indicator.min && indicator.max < 1.0, "{layer}: {indicator:?}");
            auxiliary.push(layer);
        }
    }
    let expected = [
        "layer1.1.conv1",
        "layer3.0.conv1",
        "layer3.0.downsample.0",
        "layer4.0.conv1",
        "layer4.0.downsample.0",
    ];
    assert_eq!(auxiliary, expected);
}
