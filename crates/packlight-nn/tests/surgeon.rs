//! SURGEON's shares, against the paper's formula on gradients of exact training.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Ledger, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::{Inputs, Mlp};
use packlight_nn::{Model, ModelSpec, Plan, Steps};
use packlight_record::KeptKind;

const BATCH: usize = 6;
/// What its three linear layers read.
const FEATURES: [usize; 3] = [3 * 64, 20, 12];

struct Case {
    model: Model,
    inputs: Inputs,
    labels: Tensor,
}

impl Case {
    fn of(plan: &str) -> Self {
        let spec = ModelSpec::new(Mlp { hidden: vec![FEATURES[1], FEATURES[2]] });
        let spec = spec.for_images(3, 8, 10).unwrap();
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(&spec, &plan, 3, DType::F32, &Device::Cpu).unwrap();
        let mut stream = Key::new(2, Purpose::Sample).stream();
        let pixels: Vec<f32> = (0..BATCH * FEATURES[0]).map(|_| stream.normal() as f32).collect();
        let inputs = Tensor::from_vec(pixels, (BATCH, 3, 8, 8), &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1u32, 7, 0, 3, 3, 9], &Device::Cpu).unwrap();
        Self { model, inputs: Inputs::Images(inputs), labels }
    }

    fn loss(&self, pass: &Pass) -> packlight_nn::Result<Tensor> {
        self.model.loss(&self.model.logits(&self.inputs, pass)?, &self.labels)
    }

    /// The gradients of the first step, and the bytes that inputs take.
    fn step(&self) -> (GradStore, BTreeMap<String, (usize, usize)>) {
        let ledger = Ledger::new();
        let mut steps = Steps::new(self.model.parameters(), 0, 4);
        let pass = steps.begin(|pass| self.loss(pass)).unwrap().with_ledger(&ledger);
        let store = self.loss(&pass).unwrap().backward().unwrap();
        let entries = ledger.entries().into_iter().filter(|entry| entry.kind == KeptKind::Input);
        let bytes = entries.map(|e| (e.layer.to_string(), (e.bytes.payload, e.bytes.metadata)));
        (store, bytes.collect())
    }

    fn gradient(&self, store: &GradStore, name: &str) -> Vec<f32> {
        let (_, var) = self.model.parameters().named().find(|(own, _)| *own == name).unwrap();
        store.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }
}

#[test]
fn each_layer_keeps_its_share_of_the_largest_from_the_first_step_on() {
    let layers = ["fc1", "fc2", "fc3"];
    let exact = Case::of("none");
    let (store, whole) = exact.step();
    let all: f64 = FEATURES.iter().map(|&features| features as f64).sum();
    let products = [0, 1, 2].map(|at| {
        let gradient = exact.gradient(&store, &format!("{}.weight", layers[at]));
        let squares: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        let norm = squares.sqrt() / (gradient.len() as f64).sqrt();
        norm * (all / FEATURES[at] as f64).ln()
    });
    let largest = products.into_iter().fold(0.0, f64::max);
    let pruned = Case::of("surgeon");
    let (store, kept) = pruned.step();
    for at in 0..3 {
        let (layer, elements) = (layers[at], BATCH * FEATURES[at]);
        let share = products[at] / largest;
        let expected = match share {
            1.0 => whole[layer],
            share => (4 * (share * elements as f64).round() as usize, elements.div_ceil(8)),
        };
        assert_eq!(kept[layer], expected, "{layer}: {share}");
        // The gradient is that of the same values, kept in another way.
        let alike = Case::of(&format!("{layer}=topk:{share}"));
        let (same, _) = alike.step();
        let name = format!("{layer}.weight");
        assert_eq!(pruned.gradient(&store, &name), alike.gradient(&same, &name), "{share}");
    }
    assert!(kept["fc1"].0 < whole["fc1"].0 / 4, "the largest input is pruned: {kept:?}");
}

#[test]
fn shares_are_measured_anew_as_often_as_the_plan_says() {
    for (plan, expected) in [("surgeon", 6), ("surgeon:4", 2)] {
        let case = Case::of(plan);
        assert_eq!(Steps::new(case.model.parameters(), 0, 6).calibrations(), expected, "{plan}");
    }
    let share = |case: &Case| {
        let state = case.model.save_points()[0].codec_state().get("share").cloned();
        state.unwrap().to_scalar::<f64>().unwrap()
    };
    for (plan, moves) in [("surgeon", true), ("surgeon:4", false)] {
        let case = Case::of(plan);
        let mut steps = Steps::new(case.model.parameters(), 0, 4);
        steps.begin(|pass| case.loss(pass)).unwrap();
        let before = share(&case);
        for (_, var) in case.model.parameters().named().filter(|(name, _)| name.contains("fc3")) {
            var.set(&(var.as_tensor() * 3.0).unwrap()).unwrap();
        }
        steps.begin(|pass| case.loss(pass)).unwrap();
        assert_eq!(share(&case) != before, moves, "{plan}");
    }
}

/// One layer alone has nothing to be weighed against.
#[test]
fn a_layer_alone_keeps_all() {
    let whole = Case::of("none").step().1;
    assert_eq!(Case::of("fc2=surgeon").step().1, whole);
}
