use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use packlight_nn::{ModelSpec, codec_state};
use packlight_record::layout::STUDY;

use super::*;
use crate::data::{self, DataSet};
use crate::instrument::Instrument;
use crate::progress::Silent;
use crate::spec::{Study, read_study};

/// Networks of images and of pairs of sequences, with data whose epochs end with a smaller batch.
const RESNET: &str = "[model]\nname = \"resnet18\"\nwidth = 4\n\n[data]\nname = \"digits\"\nsize = 8\n\
                      train_limit = 40\ntest_limit = 8";
const VIT: &str = "[model]\nname = \"vit\"\nwidth = 16\ndepth = 1\nheads = 2\n\n[data]\nname = \"digits\"\n\
                   size = 8\ntrain_limit = 40\ntest_limit = 8";
const TRANSFORMER: &str = "[model]\nname = \"transformer\"\nwidth = 16\ndepth = 1\nheads = 2\n\n[data]\n\
                           name = \"reverse\"\ntrain_limit = 40\ntest_limit = 8";

const CODECS: &str = "[\"q8\", \"q2\", \"pool2\", \"mesa\", \"hosvd:0.8\"]";

/// A study with one adaptive plan, its data and the description of its model.
struct Made {
    study: Study,
    data: DataSet,
    model: ModelSpec,
}

impl Made {
    fn new(model: &str, budget: &str) -> Self {
        let text = format!(
            r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 16

{model}

[plans.moving.adaptive]
every = "2 steps"
budget = "{budget}"
codecs = {CODECS}
batches = 1

[optimizer]
name = "sgd"
learning_rate = 0.05
momentum = 0.9
"#
        );
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(STUDY), text).unwrap();
        let study = read_study(dir.path(), None).unwrap();
        let data = data::load(&study.data, None::<&Path>).unwrap();
        let model = data.model(&study.model).unwrap();
        Self { study, data, model }
    }

    fn trainer(&self) -> Result<RunTrainer<'_>> {
        RunTrainer::new(&self.study, &self.data, &self.model, &self.study.plans[0], 3)
    }
}

/// Allocates before a step if that is due.
fn reallocate(trainer: &mut RunTrainer<'_>, step: u64) -> Option<Record> {
    let found = trainer.reallocate(step, &AtomicBool::new(false), &mut Silent).unwrap();
    found.map(|found| found.record)
}

/// The samples of a step, and its epoch.
fn samples(trainer: &RunTrainer<'_>, step: u64) -> (Vec<usize>, u64) {
    let per_epoch = steps_per_epoch(trainer.study, trainer.data);
    let order = trainer.order(step / per_epoch);
    let batch = order.chunks(trainer.study.batch).nth((step % per_epoch) as usize).unwrap();
    (batch.to_vec(), step / per_epoch)
}

fn bits(tensors: &BTreeMap<String, Tensor>) -> Vec<Vec<u32>> {
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    tensors.values().map(|t| values(t).into_iter().map(f32::to_bits).collect()).collect()
}

#[test]
fn no_step_and_no_measurement_keeps_more_than_the_budget() {
    for (model, budget) in
        [(RESNET, "0.2x"), (RESNET, "0.6x"), (VIT, "0.35x"), (VIT, "0.8x"), (TRANSFORMER, "0.4x")]
    {
        let made = Made::new(model, budget);
        let mut trainer = made.trainer().unwrap();
        let (mut allocations, mut most) = (0, 0.0_f64);
        for step in 0..trainer.total_steps() {
            let limit = trainer.adaptive.as_ref().unwrap().budget;
            if let Some(record) = reallocate(&mut trainer, step) {
                let Record::Allocation { budget, kept_bytes, measuring_bytes, plan, .. } = record
                else {
                    panic!("{record:?}")
                };
                assert_eq!(budget, limit);
                assert!(kept_bytes <= limit && measuring_bytes <= limit, "{plan}");
                assert!(measuring_bytes > 0);
                allocations += 1;
            }
            let (batch, epoch) = samples(&trainer, step);
            let found = trainer.step(&batch, epoch, Instrument::Ledger { timeline: true }).unwrap();
            let kept = found.records.iter().find_map(|record| match record {
                Record::Timeline { points, .. } => points.iter().map(|point| point.kept).max(),
                _ => None,
            });
            let kept = kept.unwrap();
            assert!(kept <= limit, "{budget}: step {step} keeps {kept} of {limit}");
            most = most.max(kept as f64 / limit as f64);
        }
        assert_eq!(allocations, trainer.total_steps().div_ceil(2));
        println!("{budget}: at most {most:.3} of the budget");
        assert!(most > 0.6, "the budget is used: {most}");
    }
}

#[test]
fn a_measurement_changes_nothing_that_the_training_goes_on_with() {
    let made = Made::new(RESNET, "0.4x");
    let (mut one, mut other) = (made.trainer().unwrap(), made.trainer().unwrap());
    for trainer in [&mut one, &mut other] {
        trainer.use_codecs("conv=mesa,norm=q8").unwrap();
        let (batch, epoch) = samples(trainer, 0);
        trainer.step(&batch, epoch, Instrument::None).unwrap();
    }
    let everything = |trainer: &RunTrainer<'_>| {
        let states = codec_state::tensors(trainer.model.save_points());
        assert!(!states.is_empty(), "mesa remembers ranges");
        let codecs: Vec<String> =
            trainer.model.save_points().iter().map(|point| point.codec().spec()).collect();
        let parameters = trainer.model.parameters().tensors().unwrap();
        let optimizer = trainer.trainer.optimizer.state().unwrap();
        (bits(&parameters), bits(&optimizer), bits(&states), codecs)
    };
    let before = everything(&one);
    let adaptive = one.adaptive.as_ref().unwrap();
    let found = one.measure(adaptive, 2, &AtomicBool::new(false), &mut Silent).unwrap();
    assert!(!found.0.is_empty());
    assert!(everything(&one) == before);
    let again = one.measure(adaptive, 2, &AtomicBool::new(false), &mut Silent).unwrap();
    assert_eq!(found, again, "a measurement follows from seed, step and parameters");
    for trainer in [&mut one, &mut other] {
        let (batch, epoch) = samples(trainer, 1);
        trainer.step(&batch, epoch, Instrument::None).unwrap();
    }
    assert!(everything(&one) == everything(&other));
}

#[test]
fn the_states_of_codecs_that_stay_stay() {
    let made = Made::new(RESNET, "0.4x");
    let mut trainer = made.trainer().unwrap();
    trainer.use_codecs("conv1=mesa,fc=mesa").unwrap();
    let (batch, epoch) = samples(&trainer, 0);
    trainer.step(&batch, epoch, Instrument::None).unwrap();
    let before = codec_state::tensors(trainer.model.save_points());
    trainer.use_codecs("conv1=mesa,fc=q8").unwrap();
    let after = codec_state::tensors(trainer.model.save_points());
    let of = |layer: &str, all: &BTreeMap<String, Tensor>| {
        let own = all.iter().filter(|(name, _)| name.starts_with(layer));
        own.map(|(name, tensor)| (name.clone(), tensor.clone())).collect::<BTreeMap<_, _>>()
    };
    assert!(!of("conv1/", &before).is_empty() && !of("fc/", &before).is_empty());
    assert_eq!(bits(&of("conv1/", &before)), bits(&of("conv1/", &after)));
    assert!(of("fc/", &after).is_empty());
}

#[test]
fn a_budget_that_cannot_hold_is_refused_with_the_least_that_can() {
    for model in [RESNET, VIT, TRANSFORMER] {
        let error = Made::new(model, "1B").trainer().map(drop).unwrap_err().to_string();
        let start = "plan moving of the study: adaptive.budget: 1B given, which is 1 B here, and the \
                     least that is possible is ";
        let rest = error.strip_prefix(start).unwrap_or_else(|| panic!("{error}"));
        let least: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        let mut trainer = Made::new(model, &format!("{least}B"));
        trainer.study.epochs = 1;
        let mut trainer = trainer.trainer().unwrap();
        assert!(reallocate(&mut trainer, 0).is_some());
        let (batch, epoch) = samples(&trainer, 0);
        trainer.step(&batch, epoch, Instrument::None).unwrap();
        let less = Made::new(model, &format!("{}B", least - 1));
        let error = less.trainer().map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("the least that is possible is {least} B")), "{error}");
    }
}

#[test]
fn it_stops_between_two_passes() {
    let made = Made::new(VIT, "0.5x");
    let mut trainer = made.trainer().unwrap();
    let stopped = trainer.reallocate(0, &AtomicBool::new(true), &mut Silent);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn the_largest_number_is_found() {
    for limit in 0..10 {
        assert_eq!(largest(8, |number| Ok(number <= limit)).unwrap(), limit.min(8));
    }
}
