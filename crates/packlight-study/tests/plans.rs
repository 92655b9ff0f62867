//! What whole plans do to the gradients.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{options, study};
use packlight_record::layout::{ERRORS, SCORES, SENSITIVITY};
use packlight_record::{PlanError, PlanFacts, PlanOrigin, PlanRecord, SensitivityRecord, read_log};
use packlight_study::{Error, Event, Progress, Silent, measure_plans, measure_sensitivity};

/// A codec that remembers, one that passes errors on, and one that rounds at random.
const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3, 4]
epochs = 2
batch = 16
model = { name = "resnet20", width = 2 }
data = { name = "digits", size = 8, train_limit = 72, test_limit = 20, augment = { pad = 1 } }
plans = { none = "none" }
optimizer = { name = "sgd", learning_rate = 0.01 }

[sensitivity]
codecs = ["q2", "resprop:0.1"]
layers = ["layer2.0.*", "linear"]
points = ["start", 0.4]
batches = 2
draws = 1
"#;

fn facts(plan: &str, spec: &str, origin: PlanOrigin) -> PlanFacts {
    let (plan, spec) = (plan.to_owned(), spec.to_owned());
    PlanFacts { plan, spec, origin, budget: 1000, bytes: 900 }
}

fn plans() -> Vec<PlanFacts> {
    vec![
        facts("own", "layer2.0.conv1=q2,linear=resprop:0.1", PlanOrigin::Allocated),
        facts("all-q2", "layer2.0.*=q2,linear=q2", PlanOrigin::Uniform),
        facts("again", "layer2.0.*=q2,linear=q2", PlanOrigin::Random),
    ]
}

fn measured() -> tempfile::TempDir {
    let dir = study(TEXT);
    measure_sensitivity(dir.path(), &options(&AtomicBool::new(false)), &mut Silent).unwrap();
    dir
}

fn measure(dir: &Path, plans: &[PlanFacts], progress: &mut dyn Progress) -> Result<(), Error> {
    measure_plans(dir, plans, &dir.join(ERRORS), &options(&AtomicBool::new(false)), progress)
}

fn errors(dir: &Path) -> Vec<PlanError> {
    let error = |record| match record {
        PlanRecord::Error(error) => Some(error),
        PlanRecord::Plan(_) => None,
    };
    read_log(&dir.join(ERRORS)).unwrap().values.into_iter().filter_map(error).collect()
}

/// What an event said beforehand.
#[derive(Default)]
struct ToMeasure(Option<(u64, u64)>);

impl Progress for ToMeasure {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::ToMeasure { scores, passes, .. } => self.0 = Some((scores, passes)),
            Event::Measuring { done, .. } => assert!((0.0..=1.0).contains(&done), "{done}"),
            _ => {}
        }
    }
}

/// Asks to stop at the given number of events that say how far it has got.
struct StopAt<'a> {
    left: usize,
    interrupted: &'a AtomicBool,
}

impl Progress for StopAt<'_> {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Measuring { .. }) {
            self.left = self.left.saturating_sub(1);
            self.interrupted.store(self.left == 0, Ordering::Relaxed);
        }
    }
}

#[test]
fn all_plans_are_measured_on_the_same_batches_and_none_of_them_has_a_score() {
    let dir = measured();
    let mut said = ToMeasure::default();
    measure(dir.path(), &plans(), &mut said).unwrap();
    // Two plans, since two are the same; two seeds, two points and two batches; two draws at least.
    assert_eq!(said.0, Some((2 * 8, 2 * 8 * 2 + 8)));
    let found = errors(dir.path());
    assert_eq!(found.len(), 16);
    for pair in found.chunks(2) {
        let [own, uniform] = pair else { panic!("{pair:?}") };
        assert_eq!((&own.state, own.whole_norm), (&uniform.state, uniform.whole_norm));
        assert_eq!((own.draws, own.batch, uniform.batch), (2, uniform.batch, own.batch));
        assert!(own.squared_error > 0.0 && uniform.squared_error > uniform.squared_bias.unwrap());
    }
    let of_plans: BTreeSet<String> = found.iter().map(|error| error.state.clone()).collect();
    assert_eq!(of_plans.len(), 8);
    let log = dir.path().join(SENSITIVITY).join(SCORES);
    let scores = read_log::<SensitivityRecord>(&log).unwrap().values;
    assert!(scores.iter().all(|record| match record {
        SensitivityRecord::Score(score) => !of_plans.contains(&score.state),
        _ => true,
    }));

    let before = std::fs::read(dir.path().join(ERRORS)).unwrap();
    let mut said = ToMeasure::default();
    measure(dir.path(), &plans(), &mut said).unwrap();
    assert_eq!(said.0, None, "there is nothing to do");
    assert!(std::fs::read(dir.path().join(ERRORS)).unwrap() == before);
    // Another plan is measured beside those that are there.
    let other = facts("random-1", "linear=q2", PlanOrigin::Random);
    let more = [&plans()[..], &[other]].concat();
    measure(dir.path(), &more, &mut said).unwrap();
    assert_eq!((said.0, errors(dir.path()).len()), (Some((8, 8 * 2 + 8)), 24));
    // With one more batch for scores, the errors of that batch count no longer: plans were chosen by it.
    let wider = TEXT.replace("batches = 2", "batches = 3").replace("seeds = [3, 4]", "seeds = [3]");
    std::fs::write(dir.path().join("study.toml"), wider).unwrap();
    measure(dir.path(), &plans(), &mut said).unwrap();
    // Of two plans, two points and three batches, one batch is there.
    assert_eq!(said.0, Some((2 * 2 * 2, 2 * 2 * 2 * 2 + 2 * 3)));
    let places: BTreeSet<(u64, u64)> =
        errors(dir.path()).iter().map(|e| (e.seed, e.batch)).collect();
    assert_eq!(places, BTreeSet::from([(3, 3), (3, 4), (3, 5)]));
}

#[test]
fn stopped_or_cut_anywhere_it_goes_on_to_the_same_bytes() {
    let dir = measured();
    let log = dir.path().join(ERRORS);
    measure(dir.path(), &plans(), &mut Silent).unwrap();
    let whole = std::fs::read(&log).unwrap();
    for left in [1, 5, 9] {
        std::fs::remove_file(&log).unwrap();
        let interrupted = AtomicBool::new(false);
        let mut stop = StopAt { left, interrupted: &interrupted };
        let stopped = measure_plans(dir.path(), &plans(), &log, &options(&interrupted), &mut stop);
        assert!(matches!(stopped, Err(Error::Interrupted)), "{left}: {stopped:?}");
        measure(dir.path(), &plans(), &mut Silent).unwrap();
        assert!(std::fs::read(&log).unwrap() == whole, "stopped after {left} events");
    }
    for share in [1, 4, 7] {
        std::fs::write(&log, &whole[..whole.len() * share / 9]).unwrap();
        measure(dir.path(), &plans(), &mut Silent).unwrap();
        assert!(std::fs::read(&log).unwrap() == whole, "cut at {share} ninths");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = measured();
    let unfit = [facts("own", "layer9.conv=q2", PlanOrigin::Allocated)];
    let error = measure(dir.path(), &unfit, &mut Silent).unwrap_err().to_string();
    assert!(error.contains("layer9.conv"), "{error}");
    // Scores of another study say nothing of these plans.
    std::fs::write(dir.path().join("study.toml"), TEXT.replace("0.01", "0.02")).unwrap();
    let error = measure(dir.path(), &plans(), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("changed since this was measured"), "{error}");
}
