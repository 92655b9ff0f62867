//! A plan may start from the weights that another one leaves.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};
use common::{options, study};
use packlight_nn::weights;
use packlight_record::layout::{RUNS, STUDY};
use packlight_record::{Manifest, Record, RunState, read_log};
use packlight_study::{
    Error, Event, Options, Outcome, Progress, Silent, StudySummary, WEIGHTS, run_study,
};

const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3, 4]
epochs = 6
batch = 64

[model]
name = "resnet18"
width = 4

[data]
name = "digits"
size = 8
train_limit = 512
test_limit = 200

[plans]
whole = "none"
tuned = { plan = "last=2,default=q4", from = "whole", epochs = 1 }

[optimizer]
name = "sgd"
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-4

[schedule]
name = "cosine"
"#;

/// Steps of an epoch.
const STEPS: u64 = 8;

fn run(
    dir: &Path,
    interrupted: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<StudySummary, Error> {
    run_study(dir, &options(interrupted), progress)
}

fn outcomes(dir: &Path) -> Vec<(String, Outcome)> {
    let summary = run(dir, &AtomicBool::new(false), &mut Silent).unwrap();
    summary.runs.into_iter().map(|run| (run.run, run.outcome)).collect()
}

fn records(dir: &Path, run: &str) -> Vec<u8> {
    std::fs::read(dir.join(RUNS).join(run).join("records.jsonl")).unwrap()
}

/// Training loss and test accuracy of a run's epochs.
fn epochs(dir: &Path, run: &str) -> Vec<(f64, f64)> {
    let path = dir.join(RUNS).join(run).join("records.jsonl");
    let records = read_log::<Record>(&path).unwrap().values;
    let epoch = |record: &Record| match record {
        Record::Epoch { train_loss, test_accuracy, .. } => Some((*train_loss, *test_accuracy)),
        _ => None,
    };
    records.iter().filter_map(epoch).collect()
}

/// The bits of all parameters and running statistics that a run left.
fn left(dir: &Path, run: &str) -> BTreeMap<String, Vec<u32>> {
    let tensors = weights::read(&dir.join(RUNS).join(run).join(WEIGHTS), &Device::Cpu).unwrap();
    let bits = |tensor: candle_core::Tensor| {
        assert_eq!(tensor.dtype(), DType::F32);
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

#[test]
fn it_goes_on_from_trained_weights_and_leaves_those_that_are_frozen() {
    let dir = study(TEXT);
    let names: Vec<String> = outcomes(dir.path()).into_iter().map(|(run, _)| run).collect();
    assert_eq!(names, ["whole-seed3", "tuned-seed3", "whole-seed4", "tuned-seed4"]);
    for seed in [3, 4] {
        let (whole, tuned) = (format!("whole-seed{seed}"), format!("tuned-seed{seed}"));
        let (source, found) = (epochs(dir.path(), &whole), epochs(dir.path(), &tuned));
        let (first, last) = (source[0], source[5]);
        assert!(first.0 > 2.0 * last.0, "{source:?}");
        assert!(found[0].0 < 1.5 * last.0 && found[0].1 > last.1 - 0.1, "{source:?}, {found:?}");

        let (source, found) = (left(dir.path(), &whole), left(dir.path(), &tuned));
        let changed: Vec<&String> =
            found.keys().filter(|name| found[*name] != source[*name]).collect();
        let last = ["fc.bias", "fc.weight", "layer4.1.conv1.weight", "layer4.1.conv2.weight"];
        assert_eq!(changed, last);
        assert!(source.contains_key("bn1.running_var"));

        let manifest = Manifest::read(&dir.path().join(RUNS).join(&tuned)).unwrap();
        assert_eq!(manifest.from.as_deref(), Some("whole"));
    }
    assert!(outcomes(dir.path()).iter().all(|(_, o)| *o == Outcome::AlreadyFinished));
}

/// Only the classifier keeps an input, so only it has two weight gradients to compare; each parameter that
/// trains has one that is defined.
#[test]
fn biases_go_on_alone_and_every_gradient_that_is_recorded_is_defined() {
    let tuned = r#"plan = "last=2,default=q4", from = "whole", epochs = 1"#;
    let text = TEXT
        .replace(tuned, r#"plan = "bias=all", from = "whole", epochs = 1"#)
        .replace("seeds = [3, 4]", "seeds = [3]")
        .replace("epochs = 6", "epochs = 2");
    let dir = study(&format!("{text}\n[probe]\nevery = 2\nwhole = true\ndraws = 2\n"));
    outcomes(dir.path());
    let (source, found) = (left(dir.path(), "whole-seed3"), left(dir.path(), "tuned-seed3"));
    for (name, values) in &source {
        let trains = name.ends_with(".bias") || name == "fc.weight";
        assert_eq!(*values != found[name], trains, "{name}");
    }
    let path = dir.path().join(RUNS).join("tuned-seed3/records.jsonl");
    let (mut layers, mut parameters) = (0, 0);
    for record in read_log::<Record>(&path).unwrap().values {
        match record {
            Record::Gradient { layer, fidelity, .. } => {
                assert_eq!(layer, "fc");
                assert!(fidelity.cosine.is_some_and(|cosine| cosine > 1.0 - 1e-6));
                layers += 1;
            }
            Record::WholeGradient { parameter, fidelity, .. } => {
                assert!(fidelity.cosine.is_some(), "{parameter}");
                parameters += 1;
            }
            _ => {}
        }
    }
    assert!(layers > 0 && parameters >= 22, "{layers} layers, {parameters} parameters");
}

/// Asks to stop once a step of one of the runs is done.
struct StopAfter<'a> {
    run: &'a str,
    step: u64,
    current: bool,
    interrupted: &'a AtomicBool,
}

impl Progress for StopAfter<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Started { run, .. } => self.current = run == self.run,
            Event::Step { step, .. } if self.current && step == self.step => {
                self.interrupted.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[test]
fn stopped_in_either_run_it_goes_on_to_the_same_bytes() {
    let text = TEXT.replace("[3, 4]", "[3]").replace("epochs = 6", "epochs = 1");
    let whole = study(&text);
    outcomes(whole.path());
    for (name, step) in [("whole-seed3", 1), ("whole-seed3", STEPS), ("tuned-seed3", 1)] {
        let dir = study(&text);
        let interrupted = AtomicBool::new(false);
        let mut stop = StopAfter { run: name, step, current: false, interrupted: &interrupted };
        assert!(matches!(run(dir.path(), &interrupted, &mut stop), Err(Error::Interrupted)));
        outcomes(dir.path());
        for run in ["whole-seed3", "tuned-seed3"] {
            assert!(records(dir.path(), run) == records(whole.path(), run), "{name}, {step}");
            assert!(left(dir.path(), run) == left(whole.path(), run), "{name}, {step}");
        }
    }
}

#[test]
fn without_its_source_a_run_fails_with_a_reason_and_the_others_go_on() {
    let text = TEXT.replace("[3, 4]", "[3]").replace("epochs = 6", "epochs = 1");
    let diverging =
        study(&format!("{text}\n").replace("learning_rate = 0.05", "learning_rate = 1e30"));
    let found = outcomes(diverging.path());
    let Outcome::Failed { reason } = &found[1].1 else { panic!("{found:?}") };
    assert!(reason.contains("starts from the weights of whole-seed3, which failed: "), "{reason}");

    let dir = study(&text);
    outcomes(dir.path());
    let expected = records(dir.path(), "tuned-seed3");
    let folder = |run: &str| dir.path().join(RUNS).join(run);
    std::fs::remove_dir_all(folder("tuned-seed3")).unwrap();
    std::fs::remove_file(folder("whole-seed3").join(WEIGHTS)).unwrap();
    let found = outcomes(dir.path());
    let Outcome::Failed { reason } = &found[1].1 else { panic!("{found:?}") };
    let remove = format!("remove {}", folder("whole-seed3").display());
    assert!(reason.contains(WEIGHTS) && reason.contains(&remove), "{reason}");
    let manifest = Manifest::read(&folder("tuned-seed3")).unwrap();
    assert_eq!(manifest.state, RunState::Failed { reason: reason.clone() });

    std::fs::remove_dir_all(folder("whole-seed3")).unwrap();
    assert!(outcomes(dir.path()).iter().all(|(_, outcome)| *outcome == Outcome::Finished));
    assert!(records(dir.path(), "tuned-seed3") == expected, "as the message advises");
}

#[test]
fn a_change_of_the_source_is_a_change_of_what_starts_from_it() {
    let dir = study(&TEXT.replace("[3, 4]", "[3]").replace("epochs = 6", "epochs = 1"));
    outcomes(dir.path());
    std::fs::remove_dir_all(dir.path().join(RUNS).join("whole-seed3")).unwrap();
    let changed = TEXT.replace("[3, 4]", "[3]").replace("epochs = 6", "epochs = 2");
    std::fs::write(dir.path().join(STUDY), changed).unwrap();
    let error = run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("tuned-seed3: the study changed"), "{error}");
}

#[test]
fn a_study_may_start_from_a_file_of_weights() {
    let source = study(&TEXT.replace("[3, 4]", "[3]"));
    outcomes(source.path());
    let trained = source.path().join(RUNS).join("whole-seed3").join(WEIGHTS);
    let text = TEXT
        .replace("[3, 4]", "[5]")
        .replace("epochs = 6", "epochs = 1\nweights = \"trained.safetensors\"")
        .replace("whole = \"none\"", "whole = \"last=2\"");
    let dir = study(&text);
    let file = dir.path().join("trained.safetensors");

    let refused = |text: &str| {
        std::fs::write(dir.path().join(STUDY), text).unwrap();
        run(dir.path(), &AtomicBool::new(false), &mut Silent).unwrap_err().to_string()
    };
    assert!(refused(&text).contains("trained.safetensors: No such file"));
    std::fs::copy(&trained, &file).unwrap();
    let error = refused(&text.replace("width = 4", "width = 8"));
    assert!(error.contains("trained.safetensors: the tensor `bn1.bias` has shape [4]"), "{error}");
    assert!(!dir.path().join(RUNS).exists());

    std::fs::write(dir.path().join(STUDY), &text).unwrap();
    outcomes(dir.path());
    let last = epochs(source.path(), "whole-seed3")[5];
    assert!(epochs(dir.path(), "whole-seed5")[0].0 < 1.5 * last.0);
    let before = left(source.path(), "whole-seed3");
    for run in ["whole-seed5", "tuned-seed5"] {
        let found = left(dir.path(), run);
        let changed = found.keys().filter(|name| found[*name] != before[*name]).count();
        assert_eq!(changed, 4, "the last two layers and the classifier, {run}");
        let manifest = Manifest::read(&dir.path().join(RUNS).join(run)).unwrap();
        assert_eq!(manifest.model, "resnet18, width 4, from trained.safetensors");
    }

    std::fs::copy(dir.path().join(RUNS).join("tuned-seed5").join(WEIGHTS), &file).unwrap();
    assert!(refused(&text).contains("the study changed"), "with other weights");
}

#[test]
fn weights_may_be_where_the_data_sets_are() {
    let one_epoch = TEXT.replace("[3, 4]", "[3]").replace("epochs = 6", "epochs = 1");
    let source = study(&one_epoch);
    outcomes(source.path());
    let data_dir = tempfile::tempdir().unwrap();
    let trained = source.path().join(RUNS).join("whole-seed3").join(WEIGHTS);
    std::fs::copy(trained, data_dir.path().join("trained.safetensors")).unwrap();

    let dir = study(
        &one_epoch.replace("batch = 64", "batch = 64\nweights = \"trained.safetensors or random\""),
    );
    let interrupted = AtomicBool::new(false);
    let options = Options { data_dir: Some(data_dir.path().to_owned()), ..options(&interrupted) };
    run_study(dir.path(), &options, &mut Silent).unwrap();
    let manifest = Manifest::read(&dir.path().join(RUNS).join("whole-seed3")).unwrap();
    assert_eq!(manifest.model, "resnet18, width 4, from trained.safetensors");
}
