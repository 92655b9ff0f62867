//! A measurement of single layers that stops anywhere, goes on and is widened.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{options, study};
use packlight_record::layout::{SCORES, SENSITIVITY};
use packlight_record::{Compared, LayerFacts, Score, SensitivityRecord, read_log};
use packlight_study::{
    Error, Event, Options, Progress, SensitivitySummary, Silent, measure_sensitivity, read_study,
};

const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3, 4]
epochs = 2
batch = 16

[model]
name = "resnet20"
width = 2

[data]
name = "digits"
size = 8
train_limit = 72
test_limit = 20
augment = { pad = 1 }

[plans]
none = "none"

[optimizer]
name = "sgd"
learning_rate = 0.01

[sensitivity]
codecs = ["q2", "mesa"]
layers = ["layer2.0.*", "linear"]
except = ["layer2.0.bn1"]
points = ["start", 0.4]
batches = 2
draws = 2
"#;

fn measure(dir: &Path) -> Result<SensitivitySummary, Error> {
    measure_sensitivity(dir, &options(&AtomicBool::new(false)), &mut Silent)
}

fn bytes(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join(SENSITIVITY).join(SCORES)).unwrap()
}

fn records(dir: &Path) -> Vec<SensitivityRecord> {
    read_log(&dir.join(SENSITIVITY).join(SCORES)).unwrap().values
}

fn scores(dir: &Path) -> Vec<Score> {
    let score = |record| match record {
        SensitivityRecord::Score(score) => Some(score),
        _ => None,
    };
    records(dir).into_iter().filter_map(score).collect()
}

fn layers(dir: &Path) -> Vec<LayerFacts> {
    let facts = |record| match record {
        SensitivityRecord::Layer(facts) => Some(facts),
        _ => None,
    };
    records(dir).into_iter().filter_map(facts).collect()
}

/// The scores as lines, in no particular order.
fn set(dir: &Path) -> BTreeSet<String> {
    scores(dir).iter().map(|score| serde_json::to_string(score).unwrap()).collect()
}

/// Asks to stop at the given number of events that say how far it has got.
struct StopAt<'a> {
    left: usize,
    interrupted: &'a AtomicBool,
}

impl Progress for StopAt<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Measuring { done, .. } = event {
            assert!(done > 0.0 && done < 1.0 + 1e-9, "{done}");
            self.left = self.left.saturating_sub(1);
            self.interrupted.store(self.left == 0, Ordering::Relaxed);
        }
    }
}

/// What an event said beforehand.
#[derive(Default)]
struct ToMeasure(Option<(u64, u64, u64)>);

impl Progress for ToMeasure {
    fn event(&mut self, event: Event<'_>) {
        if let Event::ToMeasure { scores, passes, steps, seconds } = event {
            assert!(seconds > 0.0);
            self.0 = Some((scores, passes, steps));
        }
    }
}

fn announced(dir: &Path) -> Option<(u64, u64, u64)> {
    let mut said = ToMeasure::default();
    measure_sensitivity(dir, &options(&AtomicBool::new(false)), &mut said).unwrap();
    said.0
}

#[test]
fn it_measures_what_the_table_asks_for_and_says_so_before() {
    let dir = study(TEXT);
    // Three conv and linear layers in a pass, a norm in a pass for each codec and draw; four of ten steps.
    let (samples, own, alone) = (2 * 2 * 2, 3 * 2, 2);
    let said = announced(dir.path());
    assert_eq!(said, Some((samples * (own + alone), samples * (1 + 2 * alone), 2 * 4)));
    let found = scores(dir.path());
    assert_eq!(found.len() as u64, samples * (own + alone));
    for score in &found {
        assert_eq!(score.compared == Compared::All, score.layer.contains("bn"), "{score:?}");
        assert!(score.squared_error > 0.0 && score.whole_norm > 0.0, "{score:?}");
        assert_eq!(score.learning_indicator.is_some(), score.compared == Compared::Own);
        assert!(score.kept_bytes > 0, "{score:?}");
        assert!(score.squared_bias.unwrap() < score.squared_error, "rounding varies: {score:?}");
    }
    let measured: Vec<String> =
        layers(dir.path()).into_iter().filter(|l| l.measured).map(|l| l.layer).collect();
    assert_eq!(measured, ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.bn2", "linear"]);
    // Each batch, point and seed is another measurement.
    let errors: BTreeSet<u64> = found.iter().map(|score| score.squared_error.to_bits()).collect();
    assert!(errors.len() > found.len() * 9 / 10, "{} of {}", errors.len(), found.len());

    let again = measure(dir.path()).unwrap();
    assert_eq!((again.measured, again.scores), (0, found.len() as u64));
    assert_eq!(announced(dir.path()), None, "there is nothing to do");
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_bytes() {
    let whole = study(TEXT);
    measure(whole.path()).unwrap();
    for left in (1..=29).step_by(4) {
        let dir = study(TEXT);
        let interrupted = AtomicBool::new(false);
        let mut stop = StopAt { left, interrupted: &interrupted };
        let options = options(&interrupted);
        let stopped = measure_sensitivity(dir.path(), &options, &mut stop);
        assert!(matches!(stopped, Err(Error::Interrupted)), "{left}: {stopped:?}");
        measure(dir.path()).unwrap();
        assert!(bytes(dir.path()) == bytes(whole.path()), "stopped after {left} events");
    }
}

#[test]
fn a_log_that_ends_in_a_group_is_completed() {
    let dir = study(TEXT);
    measure(dir.path()).unwrap();
    let whole = bytes(dir.path());
    for share in [1, 3, 5, 8] {
        let part = &whole[..whole.len() * share / 9];
        std::fs::write(dir.path().join(SENSITIVITY).join(SCORES), part).unwrap();
        measure(dir.path()).unwrap();
        assert!(bytes(dir.path()) == whole, "cut at {share} ninths");
    }
}

#[test]
fn a_widened_table_measures_only_what_is_new() {
    let wide = study(TEXT);
    measure(wide.path()).unwrap();
    let (draws, points) = (("draws = 2", "draws = 1"), ("[\"start\", 0.4]", "[0.4]"));
    let (codecs, batches) = (("\"q2\", \"mesa\"", "\"mesa\""), ("batches = 2", "batches = 1"));
    let (seeds, layers_) = (("[3, 4]", "[4]"), ("\"layer2.0.*\", \"linear\"", "\"linear\""));
    for (now, then) in [draws, points, codecs, batches, seeds, layers_] {
        let narrow = TEXT.replace(now, then);
        assert_ne!(narrow, TEXT);
        let dir = study(&narrow);
        let before = measure(dir.path()).unwrap();
        std::fs::write(dir.path().join("study.toml"), TEXT).unwrap();
        let after = measure(dir.path()).unwrap();
        let reused = if then == draws.1 { 0 } else { before.measured };
        assert_eq!(reused + after.measured, after.scores, "{then}");
        if then != draws.1 {
            assert_eq!(set(dir.path()), set(wide.path()), "{then}");
        } // scores of fewer draws stay beside those of more
        assert!(set(dir.path()).is_superset(&set(wide.path())), "{then}");
        assert_eq!(layers(dir.path()), layers(wide.path()), "{then}");
    }
}

#[test]
fn another_study_is_not_mixed_in() {
    let dir = study(TEXT);
    measure(dir.path()).unwrap();
    let before = bytes(dir.path());
    let change = |from: &str, to: &str| {
        std::fs::write(dir.path().join("study.toml"), TEXT.replace(from, to)).unwrap();
    };
    for (from, to, words) in [
        (
            "0.01",
            "0.02",
            "the study changed since this was measured (optimizer.learning_rate: 0.01",
        ),
        ("width = 2", "width = 4", "model.width"),
        ("train_limit = 72", "train_limit = 64", "data.train_limit"),
    ] {
        change(from, to);
        let error = measure(dir.path()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("--overwrite"), "{error}");
        assert!(bytes(dir.path()) == before);
    }
    change("0.01", "0.02");
    let interrupted = AtomicBool::new(false);
    let anew = Options { overwrite: true, ..options(&interrupted) };
    let summary = measure_sensitivity(dir.path(), &anew, &mut Silent).unwrap();
    assert_eq!(summary.measured, summary.scores);
    assert!(bytes(dir.path()) != before);
    // What no score depends on may change.
    change("0.01", "0.02");
    let text = std::fs::read_to_string(dir.path().join("study.toml")).unwrap();
    std::fs::write(dir.path().join("study.toml"), text + "\n[probe]\nevery = 3\n").unwrap();
    assert_eq!(measure(dir.path()).unwrap().measured, 0);
}

#[test]
fn codecs_that_no_single_layer_shows_are_refused_when_the_study_is_read() {
    for (codecs, words) in [
        ("\"pull2\"", "unknown codec `pull2`; did you mean `pool2`?"),
        ("\"none\"", "`none` needs no measurement"),
        ("\"svd:0.8\", \"svd:0.80\"", "`svd:0.80` stands there twice, as `svd:0.8`"),
        ("\"gact:4\"", "`gact:4` shares a budget between layers"),
        ("\"asi:2MiB\"", "let the allocation decide"),
        ("\"blpa:4\"", "`blpa:4` packs a norm's output"),
    ] {
        let dir = study(&TEXT.replace("\"q2\", \"mesa\"", codecs));
        let error = read_study(dir.path()).unwrap_err().to_string();
        assert!(error.contains("study.toml: sensitivity.codecs: "), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_table_that_does_not_fit_the_model_is_refused() {
    for (from, to, words) in [
        ("\"linear\"", "\"layer9.*\"", "sensitivity.layers: `layer9.*` fits no layer"),
        ("\"layer2.0.bn1\"", "\"layer2.0.bn1x\"", "did you mean `layer2.0.bn1`?"),
        ("[\"start\", 0.4]", "[0.4, 0.401]", "40 % and 40.1 % are both after step 4 of 10"),
        (
            "\"q2\", \"mesa\"",
            "\"regelu2\"",
            "sensitivity.codecs: 4 layers are measured without regelu2",
        ),
    ] {
        let dir = study(&TEXT.replace(from, to));
        let error = measure(dir.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let dir = study(TEXT.split("[sensitivity]").next().unwrap());
    let error = measure(dir.path()).unwrap_err().to_string();
    assert!(error.contains("has no table `[sensitivity]`"), "{error}");
}

#[test]
fn a_training_that_diverges_says_where() {
    let dir = study(&TEXT.replace("0.01", "1e30"));
    let error = measure(dir.path()).unwrap_err().to_string();
    assert!(error.contains("the exact training of seed 3 cannot go on"), "{error}");
    assert!(!scores(dir.path()).is_empty(), "the start was measured");
}
