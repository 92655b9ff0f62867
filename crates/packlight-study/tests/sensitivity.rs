//! A measurement of single layers that stops anywhere, goes on and is widened.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{options, study};
use packlight_record::layout::{SCORES, SENSITIVITY};
use packlight_record::{
    Compared, HOPELESS, LayerFacts, LossChange, OneOff, Score, SensitivityRecord, read_log,
};
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

fn losses(dir: &Path) -> Vec<LossChange> {
    let change = |record| match record {
        SensitivityRecord::Loss(change) => Some(change),
        _ => None,
    };
    records(dir).into_iter().filter_map(change).collect()
}

fn layers(dir: &Path) -> Vec<LayerFacts> {
    let facts = |record| match record {
        SensitivityRecord::Layer(facts) => Some(facts),
        _ => None,
    };
    records(dir).into_iter().filter_map(facts).collect()
}

/// What was measured as lines, in no particular order.
fn set(dir: &Path) -> BTreeSet<String> {
    let measured = |record: &SensitivityRecord| {
        use SensitivityRecord::{Loss, OneOff, Score};
        matches!(record, Score(_) | Loss(_) | OneOff(_))
    };
    let measured = records(dir).into_iter().filter(measured);
    measured.map(|record| serde_json::to_string(&record).unwrap()).collect()
}

/// The same table with trainings of two updates.
fn with_horizon() -> String {
    format!("{TEXT}horizon = 2\none_off = true\n")
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
fn with_a_horizon_it_trains_with_each_codec_and_exactly() {
    let dir = study(&with_horizon());
    let (samples, pairs) = (2 * 2 * 2, 4 * 2);
    // Both codecs at all four layers and at all but each, on two draws.
    let (together, alone) = (2 * 5, 2);
    // Each codec at each layer and an exact training for two steps, beside those to the point.
    let steps = 2 * 4 + samples * (pairs + 1) * 2;
    let passes = samples * (1 + 2 * (alone + together));
    assert_eq!(announced(dir.path()), Some((samples * (2 * pairs + together), passes, steps)));
    let found = losses(dir.path());
    assert_eq!(found.len() as u64, samples * pairs);
    for change in &found {
        assert_eq!(change.horizon, 2);
        assert!(change.exact_after_one != change.exact_after_horizon, "{change:?}");
        assert!(change.after_one.unwrap().abs() < 0.1 && change.after_horizon.is_some());
    }
    // The exact training of a batch is one, and each change is another one.
    let different = |of: fn(&LossChange) -> f64| {
        found.iter().map(|change| of(change).to_bits()).collect::<BTreeSet<u64>>().len()
    };
    assert_eq!(different(|change| change.exact_after_horizon) as u64, samples);
    assert!(different(|change| change.after_horizon.unwrap()) > found.len() * 9 / 10);

    // Without trainings the scores are the same, and those of a table that had none are not measured again.
    let without = study(TEXT);
    measure(without.path()).unwrap();
    assert_eq!(scores(without.path()), scores(dir.path()));
    std::fs::write(without.path().join("study.toml"), with_horizon()).unwrap();
    let widened = measure(without.path()).unwrap();
    assert_eq!((widened.measured, widened.trained), (0, samples * pairs));
    assert_eq!(set(without.path()), set(dir.path()));
    let again = measure(dir.path()).unwrap();
    assert_eq!((again.trained, again.losses), (0, samples * pairs));
    // Another horizon is another training.
    let longer = with_horizon().replace("horizon = 2", "horizon = 3");
    std::fs::write(dir.path().join("study.toml"), longer).unwrap();
    let longer = measure(dir.path()).unwrap();
    assert_eq!(
        (longer.measured, longer.trained, longer.losses),
        (0, samples * pairs, samples * pairs)
    );
    let one = |of: &[LossChange], n| of.iter().find(|c| c.horizon == n).unwrap().after_one;
    assert_eq!(one(&losses(dir.path()), 2), one(&losses(dir.path()), 3));
}

#[test]
fn one_off_is_measured_where_it_does_not_follow_from_single_layers() {
    let text = format!("{}one_off = true\n", TEXT.replace("\"q2\", \"mesa\"", "\"q2\""));
    let text = text.replace("[\"layer2.0.*\", \"linear\"]", "[\"layer2.0.*\"]");
    let dir = study(&text);
    // Two convolutions and a norm: q2 at all of them and at all but each, two draws.
    let samples = 2 * 2 * 2;
    let said = announced(dir.path()).unwrap();
    let one_off = |record| match record {
        SensitivityRecord::OneOff(one_off) => Some(one_off),
        _ => None,
    };
    let found: Vec<OneOff> = records(dir.path()).into_iter().filter_map(one_off).collect();
    assert_eq!(found.len() as u64, samples * 4);
    assert_eq!((said.0, said.1), (samples * (3 + 4), samples * (1 + (1 + 4) * 2)));
    let scores = scores(dir.path());
    for all in found.iter().filter(|one| one.except.is_none()) {
        let here = |score: &&Score| (&score.state, &*score.codec) == (&all.state, "q2");
        let own: Vec<&Score> = scores.iter().filter(here).collect();
        assert_eq!(own.len(), 3);
        // Convolutions add their own errors; the norm's error reaches the layers before it.
        let without = |layer: &str| {
            let of =
                |one: &&OneOff| (&one.state, one.except.as_deref()) == (&all.state, Some(layer));
            found.iter().find(of).unwrap().squared_error
        };
        let single = |layer: &str| own.iter().find(|of| of.layer == layer).unwrap().squared_error;
        assert!(all.squared_error > without("layer2.0.bn2"));
        let sum = single("layer2.0.conv1") + single("layer2.0.conv2");
        assert!((without("layer2.0.bn2") - sum).abs() < 1e-6 * sum, "{sum}");
    }
    assert_eq!(announced(dir.path()), None, "there is nothing to do");
    // Among other layers it is another measurement.
    std::fs::write(
        dir.path().join("study.toml"),
        text.replace("except = [\"layer2.0.bn1\"]\n", ""),
    )
    .unwrap();
    measure(dir.path()).unwrap();
    let after = records(dir.path()).into_iter().filter_map(one_off).count() as u64;
    assert_eq!(after, samples * (4 + 5));
    // Errors of convolutions alone add up.
    let convolutions =
        study(&text.replace("\"layer2.0.*\"", "\"layer2.0.conv1\", \"layer2.0.conv2\""));
    measure(convolutions.path()).unwrap();
    assert_eq!(records(convolutions.path()).into_iter().filter_map(one_off).count(), 0);
}

#[test]
fn hopeless_codecs_are_not_trained_with_and_named() {
    // Two bits at the norms of a ViT lose far more than there is.
    let text = with_horizon()
        .replace(
            "name = \"resnet20\"\nwidth = 2",
            "name = \"vit\"\nwidth = 8\ndepth = 1\nheads = 2\npatch = 4",
        )
        .replace("\"layer2.0.*\", \"linear\"", "\"norm\", \"head\"")
        .replace("except = [\"layer2.0.bn1\"]\n", "")
        .replace("\"mesa\"", "\"q8\"");
    let dir = study(&text);
    let summary = measure(dir.path()).unwrap();
    let is_hopeless = |score: &&Score| score.lasting_error() >= HOPELESS;
    let scores = scores(dir.path());
    let hopeless: Vec<&Score> = scores.iter().filter(is_hopeless).collect();
    assert!(
        !hopeless.is_empty(),
        "{:?}",
        scores.iter().map(Score::lasting_error).fold(0.0, f64::max)
    );
    let trained = losses(dir.path());
    assert_eq!(trained.len(), scores.len() - hopeless.len());
    for score in &hopeless {
        let same = |of: &&LossChange| {
            (&of.state, &of.layer, &of.codec) == (&score.state, &score.layer, &score.codec)
        };
        assert!(!trained.iter().any(|change| same(&change)), "{score:?}");
        assert!(summary.hopeless.contains(&format!("{} at {}", score.codec, score.layer)));
    }
    assert_eq!(announced(dir.path()), None, "there is nothing to do");
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_bytes() {
    let whole = study(&with_horizon());
    measure(whole.path()).unwrap();
    for left in (1..=90).step_by(17) {
        let dir = study(&with_horizon());
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
    let dir = study(&with_horizon());
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
    let text = with_horizon();
    let wide = study(&text);
    measure(wide.path()).unwrap();
    let (draws, points) = (("draws = 2", "draws = 1"), ("[\"start\", 0.4]", "[0.4]"));
    let (codecs, batches) = (("\"q2\", \"mesa\"", "\"mesa\""), ("batches = 2", "batches = 1"));
    let (seeds, layers_) = (("[3, 4]", "[4]"), ("\"layer2.0.*\", \"linear\"", "\"linear\""));
    for (now, then) in [draws, points, codecs, batches, seeds, layers_] {
        let narrow = text.replace(now, then);
        assert_ne!(narrow, text);
        let dir = study(&narrow);
        let before = measure(dir.path()).unwrap();
        std::fs::write(dir.path().join("study.toml"), &text).unwrap();
        let after = measure(dir.path()).unwrap();
        assert_eq!(before.trained + after.trained, after.losses, "{then}");
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
        let error = read_study(dir.path(), None).unwrap_err().to_string();
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
