//! From scores of single layers to a plan, as a notebook does it.

use std::path::PathBuf;
use std::sync::LazyLock;

use packlight_allocation::{Measured, Objective};
use packlight_record::{Score, SensitivityRecord, VARIANCE_LEFT, read_log};
use packlight_spec::Point;
use packlight_study::{Options, Silent, measure_sensitivity, read_study};
use tempfile::TempDir;

use super::*;
use crate::Show;

const STUDY: &str = r#"
name = "small"
title = "Single layers on digits"
seeds = [0]
epochs = 1
batch = 16
model = { name = "resnet18", width = 4, stem = "cifar" }
data = { name = "digits", size = 8, train_limit = 64, test_limit = 16 }
plans = { none = "none" }
optimizer = { name = "sgd", learning_rate = 0.05 }

[sensitivity]
codecs = ["q8", "q2"]
layers = ["layer2.0.*", "fc"]
batches = 2
draws = 2
"#;

/// The number of layers that the study measures.
const LAYERS: usize = 7;

/// The scores of the study, measured once for all tests of this file.
static MEASURED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = study(STUDY);
    let summary = measure_sensitivity(dir.path(), &Options::default(), &mut Silent).unwrap();
    std::fs::read(summary.file).unwrap()
});

fn study(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), text).unwrap();
    dir
}

/// The study with its scores, and the log that they are in.
fn finished() -> (TempDir, PathBuf) {
    let dir = study(STUDY);
    let log = dir.path().join("sensitivity/scores.jsonl");
    std::fs::create_dir(dir.path().join("sensitivity")).unwrap();
    std::fs::write(&log, &*MEASURED).unwrap();
    (dir, log)
}

fn measured() -> Measured {
    read(finished().0.path(), None).unwrap()
}

#[test]
fn frame_has_the_mean_of_the_scores_of_each_layer_and_codec() {
    let frame = errors(&measured()).unwrap();
    assert_eq!(frame.height(), 2 * LAYERS);
    let (_dir, log) = finished();
    let log = read_log::<SensitivityRecord>(&log).unwrap();
    let text = |column: &str, row| {
        frame.column(column).unwrap().str().unwrap().get(row).unwrap().to_owned()
    };
    let number = |column: &str, row| frame.column(column).unwrap().f64().unwrap().get(row).unwrap();
    for row in 0..frame.height() {
        let (layer, codec) = (text("layer", row), text("codec", row));
        let scores: Vec<&Score> = log
            .values
            .iter()
            .filter_map(|record| match record {
                SensitivityRecord::Score(s) if s.layer == layer && s.codec == codec => Some(s),
                _ => None,
            })
            .collect();
        assert_eq!(scores.len(), 2, "{layer}={codec}");
        // How much of the bias counts depends on how sure it is: all of it, none or a part.
        let mean = |of: &dyn Fn(&Score) -> f64| (of(scores[0]) + of(scores[1])) / 2.0;
        let with_bias = mean(&|score| score.lasting_error());
        let without = mean(&|score| VARIANCE_LEFT * score.squared_error / score.whole_norm.powi(2));
        let squared = number("error", row).powi(2);
        let between =
            (1.0 - 1e-12) * without.min(with_bias)..=(1.0 + 1e-12) * without.max(with_bias);
        assert!(between.contains(&squared), "{layer}={codec}: {squared} in {between:?}");
        assert!(
            number("low", row) <= number("error", row)
                && number("error", row) <= number("high", row)
        );
        assert_eq!(frame.column("n").unwrap().u64().unwrap().get(row), Some(2));
    }
}

#[test]
fn one_point_can_be_read_alone_and_one_that_was_not_measured_is_an_error() {
    let (dir, _) = finished();
    let start = errors(&read(dir.path(), Some(Point::START)).unwrap()).unwrap();
    assert!(start.equals_missing(&errors(&measured()).unwrap()));
    let error = read(dir.path(), Some(Point::END)).unwrap_err().to_string();
    assert!(error.contains("scores.jsonl") && error.contains("only at start"), "{error}");
}

#[test]
fn study_without_scores_is_told_how_to_measure_them() {
    let error = read(study(STUDY).path(), None).unwrap_err().to_string();
    assert!(error.contains("scores.jsonl") && error.contains("packlight sensitivity"), "{error}");
}

#[test]
fn an_incomplete_last_line_is_said_and_a_damaged_log_is_an_error_that_says_what_to_do() {
    let (dir, log) = finished();
    let whole = std::fs::read(&log).unwrap();
    assert_eq!(scores::read_with_notice(dir.path(), None).unwrap().1, None);
    std::fs::write(&log, &whole[..whole.len() - 9]).unwrap();
    let (_, notice) = scores::read_with_notice(dir.path(), None).unwrap();
    let notice = notice.unwrap();
    assert!(notice.contains("the last line of the log is incomplete"), "{notice}");
    assert!(notice.contains("packlight sensitivity"), "{notice}");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&log, damaged).unwrap();
    let error = read(dir.path(), None).unwrap_err().to_string();
    assert!(
        error.contains("scores.jsonl") && error.contains("remove this file and run"),
        "{error}"
    );
}

#[test]
fn figures_draw_what_was_measured_and_show_inline() {
    let measured = measured();
    let map = error_map(&measured).unwrap();
    assert_eq!(map.csv.lines().count(), 1 + 2 * LAYERS, "{}", map.csv);
    let frontier = frontier(&measured).unwrap();
    let allocations = measured.frontier(Objective::Sum).len();
    let rows = |kind: &str| frontier.csv.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!((rows("frontier,"), rows("uniform,")), (allocations, 2), "{}", frontier.csv);
    assert!(frontier.title.starts_with("The knee keeps "), "{}", frontier.title);
    assert_eq!(frontier.csv.lines().filter(|line| line.ends_with(",true")).count(), 1);
    assert!(frontier.html().contains("<svg") && map.html().contains("<svg"));
}

#[test]
fn choices_say_what_each_layer_keeps_and_what_the_next_codecs_would_change() {
    let measured = measured();
    let cheapest = measured.frontier(Objective::Sum).pop().unwrap();
    let html = choices(&measured, &cheapest).html();
    let rows: Vec<&str> = html.lines().filter(|line| line.starts_with("<tr><td")).collect();
    assert_eq!(rows.len(), measured.layers().len());
    let row = |layer: &str| *rows.iter().find(|row| row.contains(&format!(">{layer}<"))).unwrap();
    // Both convolutions read the block's input and keep one copy of it.
    assert!(row("layer2.0.downsample.0").contains("shared with layer2.0.conv1"));
    assert!(!row("layer2.0.conv1").contains("shared"));
    // Nothing is cheaper than q2, nothing better than none.
    assert!(row("fc").contains(">q2<") && row("fc").contains("q8: +"), "{}", row("fc"));
    assert!(!row("fc").contains(": -"));
    let exact = measured.allocate(u64::MAX, Objective::Sum).unwrap();
    let html = choices(&measured, &exact).html();
    let fc = html.lines().find(|row| row.contains(">fc<")).unwrap();
    assert!(fc.contains(">none<") && fc.contains("q8: -") && !fc.contains(": +"), "{fc}");
}

#[test]
fn plan_of_an_allocation_can_be_pasted_into_the_study() {
    let measured = measured();
    let budget = measured.exact_bytes() / 10 * 9;
    let plan = measured.plan(&measured.allocate(budget, Objective::Sum).unwrap());
    let plans = format!("plans = {{ none = \"none\", allocated = \"{plan}\" }}");
    let dir = study(&STUDY.replace("plans = { none = \"none\" }", &plans));
    let pasted = read_study(dir.path(), None).unwrap();
    assert_eq!(pasted.plans[1].spec, plan);
    assert!(plan.contains("layer2.0.conv?="), "{plan}");
}
