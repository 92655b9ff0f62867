//! What is planned from shapes alone is what a real step counts.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Entry as Saved, Ledger, Pass};
use packlight_codec::registry::CODECS;
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::footprint::{Footprint, Step};
use packlight_nn::model::{
    Entry, Inputs, Resnet18, Resnet34, Resnet50, Resnet152, Stem, Takes, find, models,
};
use packlight_nn::optimizer::{AdamW, Resumable, Sgd, SgdConfig};
use packlight_nn::{Model, ModelSpec, Plan, Steps};
use packlight_spec::LayerKind;

const BATCH: usize = 2;
const LENGTH: usize = 5;

/// Each model, small where it can be made so, for images or sequences that it takes.
fn small(entry: &Entry) -> ModelSpec {
    let mut table = toml::Table::new();
    for (key, value) in [
        ("width", 8),
        ("depth", 1),
        ("heads", 2),
        ("window", 2),
        ("patch", 8),
        ("features", 8),
        ("hidden", 8),
    ] {
        if let Some(toml::Value::Integer(_)) = entry.usual().value(key) {
            table.insert(key.into(), value.into());
        }
    }
    let spec = ModelSpec::named(entry.name(), table).unwrap();
    match spec.takes() {
        Takes::Pairs { .. } => spec.for_sequences(11, 10).unwrap(),
        Takes::Text => spec.for_text(10).unwrap(),
        Takes::LabelledText { .. } => spec.for_labelled_text(11, 10).unwrap(),
        images => spec.for_images(3, side(images), 10).unwrap(),
    }
}

/// The side of its images: two patches, or as few pixels as leave one behind all stages.
fn side(takes: Takes) -> usize {
    match takes {
        Takes::SquareImages { .. } => 16,
        _ => 8,
    }
}

/// The entries of one step of training on random images, or on sequences without padding.
fn counted(spec: &ModelSpec, plan: &Plan) -> Result<Ledger, Box<dyn std::error::Error>> {
    let model = Model::planned(spec, plan, 3, DType::F32, &Device::Cpu)?;
    let tokens = Tensor::full(3u32, (BATCH, LENGTH), &Device::Cpu)?;
    let (inputs, labels) = match spec.takes() {
        Takes::Pairs { .. } => {
            (Inputs::Pairs { source: tokens.clone(), target: tokens.clone() }, tokens)
        }
        Takes::Text => (Inputs::Text(tokens.clone()), tokens),
        Takes::LabelledText { .. } => {
            (Inputs::Text(tokens), Tensor::full(3u32, BATCH, &Device::Cpu)?)
        }
        images => {
            let mut stream = Key::new(2, Purpose::Sample).stream();
            let side = side(images);
            let pixels: Vec<f32> =
                (0..BATCH * 3 * side * side).map(|_| stream.normal() as f32).collect();
            let images = Tensor::from_vec(pixels, (BATCH, 3, side, side), &Device::Cpu)?;
            (Inputs::Images(images), Tensor::full(3u32, BATCH, &Device::Cpu)?)
        }
    };
    let loss = |pass: &Pass| model.loss(&model.logits(&inputs, pass)?, &labels);
    let ledger = Ledger::new();
    let mut steps = Steps::new(model.parameters(), 0, 1);
    let pass = steps.begin(loss)?.with_ledger(&ledger);
    loss(&pass)?.backward()?;
    Ok(ledger)
}

/// Norms restore what they have packed, also where the codec needs all features of a token to tell.
#[test]
fn what_norms_restore_is_planned() {
    let spec = small(&find("vit").unwrap());
    let restorable = |codec: &str| {
        let plan = Plan::parse(&format!("norm={codec}")).unwrap();
        let planned = Footprint::of(&spec, &plan, &Step::of_batch(BATCH)).unwrap();
        planned.moments.iter().map(|moment| moment.restorable).sum::<usize>()
    };
    let none_whole = restorable("q4");
    assert!(none_whole < restorable("none"));
    for codec in ["velora:4", "compact:4"] {
        assert_eq!(restorable(codec), none_whole, "{codec}");
    }
}

/// Compares both, entry by entry; returns whether all bytes were known.
fn compare(spec: &ModelSpec, text: &str) -> Option<bool> {
    let of = format!("{} with `{text}`", spec.name());
    let plan = Plan::parse(text).unwrap();
    let step = Step { length: LENGTH, ..Step::of_batch(BATCH) };
    let planned = match Footprint::of(spec, &plan, &step) {
        Ok(planned) => planned,
        Err(refused) => {
            // What is planned refuses what a step refuses.
            let error = counted(spec, &plan).err();
            assert!(error.is_some(), "{of}: {refused}");
            return None;
        }
    };
    if !planned.is_exact() {
        return Some(false);
    }
    let ledger = counted(spec, &plan).unwrap_or_else(|error| panic!("{of}: {error}"));
    let entries = ledger.entries();
    for layer in &planned.layers {
        let real: Vec<_> = entries.iter().filter(|e| *e.layer == *layer.layer.name()).collect();
        let own: Vec<_> = layer.saved.iter().chain(&layer.saved_again).collect();
        let name = layer.layer.name();
        assert_eq!(own.len(), real.len(), "{of}, {name}");
        for (own, real) in own.iter().zip(real) {
            assert_eq!(
                (own.kind, own.raw, own.again),
                (real.kind, real.raw, real.again),
                "{of}, {name}"
            );
            assert_eq!(own.bytes, real.bytes, "{of}, {name}");
        }
    }
    assert_eq!(planned.kept_peak, ledger.peak(), "{of}");
    Some(true)
}

/// Deep networks repeat the layers of shallow ones, which are tried with more plans.
const DEEP: usize = 100;

#[test]
fn every_model_keeps_with_every_codec_what_was_planned() {
    let mut exact = 0;
    for entry in models() {
        let spec = small(&entry);
        for codec in CODECS.iter().flat_map(|codec| codec.examples) {
            let plans = [codec.to_string(), format!("conv={codec}"), format!("linear={codec}")];
            for (at, plan) in plans.iter().enumerate() {
                let parsed = Plan::parse(plan).unwrap();
                let Ok(model) = Model::blank(&spec, &parsed, DType::F32) else { continue };
                if at == 0 || model.save_points().len() < DEEP {
                    exact += usize::from(compare(&spec, plan) == Some(true));
                }
            }
        }
    }
    assert!(exact > 300, "{exact} plans are exact");
}

#[test]
fn what_depends_on_the_data_is_within_its_bounds() {
    let mut found = 0;
    for model in ["mlp", "vit", "resnet20"] {
        let spec = small(&find(model).unwrap());
        for text in CODECS.iter().flat_map(|codec| codec.examples) {
            let plan = Plan::parse(text).unwrap();
            let step = Step { length: LENGTH, ..Step::of_batch(BATCH) };
            let Ok(planned) = Footprint::of(&spec, &plan, &step) else { continue };
            if planned.is_exact() {
                continue;
            }
            found += 1;
            let entries = counted(&spec, &plan).unwrap().entries();
            let bytes = |entry: &Saved| entry.bytes.total();
            let [least, most] = planned.kept_within();
            let kept = entries.iter().filter(|entry| !entry.again).map(bytes).sum::<usize>();
            assert!((least..=most).contains(&kept), "{model}, {text}: {kept}, {least} to {most}");
            for layer in &planned.layers {
                let name = layer.layer.name();
                let real = entries.iter().filter(|entry| *entry.layer == *name);
                for (own, real) in layer.saved.iter().zip(real) {
                    let ([least, most], bytes) = (own.bounds, bytes(real));
                    let of = format!("{model}, {text}, {name}: {bytes}, {least} to {most}");
                    assert!((least..=most).contains(&bytes), "{of}");
                }
            }
        }
    }
    assert!(found > 15, "{found} plans");
}

#[test]
fn memory_strategies_keep_what_was_planned() {
    for entry in models() {
        let spec = small(&entry);
        for plan in [
            "none",
            "checkpoint=sqrt",
            "checkpoint=cell",
            "checkpoint=block,default=pool2",
            "ara=2:2:2:2",
            "last=2",
            "last=2,default=bf16",
            "bias=all",
            "last=1,bias=all,default=bf16",
            "bias=all,checkpoint=block",
            "checkpoint=2,blpa:4",
            "scores=recompute,checkpoint=block",
        ] {
            let parsed = Plan::parse(plan).unwrap();
            if Model::blank(&spec, &parsed, DType::F32).is_ok() {
                assert!(compare(&spec, plan).is_none_or(|exact| exact), "{plan}");
            }
        }
    }
}

#[test]
fn gradients_and_the_optimizers_state_are_those_of_a_step() {
    for entry in models() {
        let spec = small(&entry);
        for text in ["none", "last=2", "bias=all"] {
            let plan = Plan::parse(text).unwrap();
            let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu).unwrap();
            let parameters = model.parameters();
            let bytes = |state: std::collections::BTreeMap<String, Tensor>| -> usize {
                let vars = state.iter().filter(|(name, _)| name.contains('.'));
                vars.map(|(_, tensor)| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
            };
            let sgd = Sgd::for_parameters(parameters, SgdConfig::default()).unwrap();
            let adamw = AdamW::for_parameters(parameters, Default::default()).unwrap();
            let trained: usize = parameters.trained().map(|(_, var)| 4 * var.elem_count()).sum();
            for (optimizer_state, state) in
                [(Sgd::STATE, sgd.state().unwrap()), (AdamW::STATE, adamw.state().unwrap())]
            {
                let step = Step { optimizer_state, length: LENGTH, ..Step::of_batch(BATCH) };
                let planned = Footprint::of(&spec, &plan, &step).unwrap();
                let layers = || planned.layers.iter();
                let of = spec.name();
                assert_eq!(
                    layers().map(|l| l.optimizer_bytes).sum::<usize>(),
                    bytes(state),
                    "{of}"
                );
                assert_eq!(
                    layers().map(|l| l.parameters).sum::<usize>(),
                    parameters.count(),
                    "{of}"
                );
                assert_eq!(layers().map(|l| l.gradient_bytes).sum::<usize>(), trained, "{of}");
            }
        }
    }
}

fn full_size(spec: ModelSpec, batch: usize, plan: &str) -> Footprint {
    let spec = spec.for_images(3, 224, 1000).unwrap();
    Footprint::of(&spec, &Plan::parse(plan).unwrap(), &Step::of_batch(batch)).unwrap()
}

/// As Nguyen et al. (NeurIPS 2024) count, which is 64 images in MiB; where all layers train, what three
/// blocks and their projections read counts twice.
#[test]
fn convolutions_read_the_published_bytes_at_full_size() {
    let twice = 64 * 56 * 56 + 128 * 28 * 28 + 256 * 14 * 14;
    let mib = |spec: ModelSpec, plan: &str, again: usize| {
        let kept = full_size(spec, 64, plan).kept_by(LayerKind::Conv).total();
        (kept + 64 * 4 * again) as f64 / (1 << 20) as f64
    };
    let resnet18 = || ModelSpec::new(Resnet18 { stem: Stem::Imagenet, ..Resnet18::default() });
    assert_eq!(mib(resnet18(), "last=2", 0), 12.25);
    assert_eq!(mib(resnet18(), "last=4", 0), 30.625);
    assert_eq!(mib(resnet18(), "none", twice), 532.875);
    let resnet34 = ModelSpec::new(Resnet34 { stem: Stem::Imagenet, ..Resnet34::default() });
    assert_eq!(mib(resnet34, "none", twice), 839.125);
}

/// Woo and Jeon (ICLR 2023): a batch of 512, in GB of 10^9 bytes.
#[test]
fn auxiliary_residual_activation_saves_the_published_bytes_at_full_size() {
    let stem = Stem::Imagenet;
    let resnet50 = ModelSpec::new(Resnet50 { stem, ..Resnet50::default() });
    let resnet152 = ModelSpec::new(Resnet152 { stem, ..Resnet152::default() });
    let groups = ["ara=2:2:2:2", "ara=3:4:2:2", "ara=3:4:4:2", "ara=3:4:6:2"];
    for (spec, saved) in
        [(resnet50, [4.727, 7.193, 7.604, 8.015]), (resnet152, [12.537, 15.825, 19.524, 20.758])]
    {
        let whole = full_size(spec.clone(), 512, "none").kept().total();
        for (plan, gigabytes) in groups.into_iter().zip(saved) {
            let kept = full_size(spec.clone(), 512, plan).kept().total();
            let found = (whole - kept) as f64 / 1e9;
            assert!((found - gigabytes).abs() < 5e-4, "{plan}: {found}");
        }
    }
}
