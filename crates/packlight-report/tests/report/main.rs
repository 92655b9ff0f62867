//! Reports of complete studies; `incomplete.rs` has the others.

#![allow(clippy::unwrap_used)] // clippy does not see that helpers are tests

mod beside;
mod collection;
mod comparison;
mod contest;
mod counted;
mod figures;
mod grid;
mod incomplete;
mod long;
mod moves;
mod scores;
mod sensitivity;
mod support;
mod time;
mod training;

use std::collections::HashMap;
use std::path::Path;

use packlight_record::{Fidelity, Record, RunState, TimelinePoint};
use packlight_report::{Verdict, write};
use support::{Made, complete};

fn page(study: &Path) -> String {
    std::fs::read_to_string(study.join("index.html")).unwrap()
}

/// The rows of one of the report's tables, by column.
fn table(study: &Path, name: &str) -> Vec<HashMap<String, String>> {
    let mut table = csv::Reader::from_path(study.join(format!("tables/{name}.csv"))).unwrap();
    table.deserialize().map(Result::unwrap).collect()
}

/// Asserts that no temporary file is left below `folder`.
fn no_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with('.') && !name.ends_with(".tmp"), "{}", path.display());
        if path.is_dir() {
            no_leftovers(&path);
        }
    }
}

#[test]
fn a_complete_study_gives_every_figure_and_three_findings() {
    // Left in cargo's folder for tests' files, to be looked at.
    let study = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made-up");
    let _ = std::fs::remove_dir_all(&study);
    support::write(&study, &complete());
    let summary = write(&study).unwrap();
    assert_eq!((summary.finished, summary.unfinished, summary.failed), (6, 0, 0));
    assert_eq!(summary.missing, 0);
    let names: Vec<_> =
        summary.figures.iter().map(|f| f.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "loss-and-accuracy",
            "accuracy-and-memory",
            "accuracy-and-kept-bytes",
            "accuracy-and-time",
            "cosine-overview",
            "gradient-error",
            "memory-timeline",
            "kept-bytes",
            "cosine-pool2",
            "cosine-by-layer-pool2",
            "whole-passes-pool2",
            "cosine-pool4",
            "cosine-by-layer-pool4",
            "whole-passes-pool4",
            "learning-indicator",
        ]
    );
    let page = page(&study);
    for (path, name) in summary.figures.iter().zip(names) {
        let svg = std::fs::read_to_string(path).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
        let csv = std::fs::read_to_string(path.with_extension("csv")).unwrap();
        assert!(csv.lines().count() > 1, "{name}");
        for link in [format!("figures/{name}.svg"), format!("figures/{name}.csv")] {
            assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
        }
    }
    assert_eq!(page.matches("How to read this.").count(), summary.figures.len());
    // Whatever may scroll can be reached by keyboard and has a name.
    let regions = page.matches(" tabindex=\"0\" role=\"region\" aria-label=\"").count();
    assert_eq!(regions, page.matches("class=\"wide").count() + summary.figures.len());
    assert!(!page.contains("This report is incomplete"));
    let verdicts: Vec<_> = summary.findings.iter().map(|f| f.verdict).collect();
    // Two seeds bear a verdict on counted bytes, and on nothing else.
    assert_eq!(verdicts, [Verdict::Confirmed, Verdict::Open, Verdict::Open]);
    for finding in &summary.findings {
        assert!(!finding.details.is_empty(), "{finding:?}");
    }
    no_leftovers(&study);
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let page = page(study.path());
    for forbidden in ["http:", "https:", "//cdn", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("Pooled &lt;activations&gt; &amp; &quot;friends&quot;"));
    assert!(!page.contains("<activations>"));
}

#[test]
fn plans_stand_head_to_head_with_their_intervals_and_the_papers_beside_them() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    let summary = write(study.path()).unwrap();
    let path = study.path().join("tables/head-to-head.csv");
    assert!(summary.tables.contains(&path));
    let table = std::fs::read_to_string(path).unwrap();
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["none", "pool2", "pool4"]);
    let value = |row: &[&str], name: &str| -> Option<f64> {
        row[header.iter().position(|h| *h == name).unwrap()].parse().ok()
    };
    let epochs = std::fs::read_to_string(study.path().join("tables/epochs.csv")).unwrap();
    let last: Vec<f64> = epochs
        .lines()
        .filter(|l| l.starts_with("pool4,") && l.contains(&format!(",{},", support::EPOCHS - 1)))
        .map(|l| l.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    let pool4 = &rows[2];
    assert_eq!((last.len(), value(pool4, "seeds")), (2, Some(2.0)));
    assert!((value(pool4, "accuracy_mean").unwrap() - (last[0] + last[1]) / 2.0).abs() < 1e-12);
    // Of two values the standard error is half their distance, and Student's t is 12.706.
    let half = 12.706_204_736 * (last[0] - last[1]).abs() / 2.0;
    assert!((value(pool4, "accuracy_half_interval_95").unwrap() - half).abs() < 1e-9);
    // Every parameter was given the bias 0.3 and the variance 0.04, of which four draws leave a
    // quarter in the square of the bias.
    assert!((value(pool4, "bias").unwrap() - (0.09f64 - 0.01).sqrt()).abs() < 1e-9);
    assert!((value(pool4, "variance").unwrap() - 0.04).abs() < 1e-9);
    assert_eq!((value(&rows[0], "cosine_mean"), value(&rows[0], "bias")), (None, None));

    let page = page(study.path());
    let papers =
        &page[page.find("id=\"published\"").unwrap()..page.find("id=\"figures\"").unwrap()];
    assert!(papers.contains("arXiv 2409.11902") && papers.contains("peak −29 %"));
    assert!(!papers.contains("hosvd"), "only methods that the study has");
}

#[test]
fn the_learning_indicator_of_samples_stands_beside_that_of_tokens() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let table = std::fs::read_to_string(study.path().join("tables/gradients.csv")).unwrap();
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let at = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let (layer, tokens, samples) = (at("layer"), at("li_median"), at("li_sample_median"));
    for row in lines {
        let expected = if row[layer] == "fc" { row[tokens] } else { "" };
        assert_eq!(row[samples], expected, "{}", row[layer]);
    }
    // Two plans compress, and the records give samples of the linear layer alone.
    assert_eq!(page(study.path()).matches("of samples</th>").count(), 2);
    let mut without = complete();
    without.retain(|run| run.factor < 4);
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &without);
    write(study.path()).unwrap();
    assert!(!page(study.path()).contains("of samples</th>"));
}

#[test]
fn many_plans_are_drawn_a_few_at_a_time_and_folded_away() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    let specs = ["q1", "q2", "q4", "q8", "mesa", "hosvd:0.8", "alam", "dither:2", "bf16"];
    for (i, spec) in specs.into_iter().enumerate() {
        let plan = spec.split(':').next().unwrap();
        for seed in [1, 2] {
            let like = runs[4].clone();
            runs.push(Made { plan, spec, index: 3 + i as u64, seed, ..like });
        }
    }
    support::write(study.path(), &runs);
    let summary = write(study.path()).unwrap();
    let names: Vec<_> =
        summary.figures.iter().map(|f| f.file_stem().unwrap().to_str().unwrap()).collect();
    for kind in ["loss-and-accuracy", "memory-timeline", "kept-bytes", "learning-indicator"] {
        assert!(names.contains(&kind) && names.contains(&format!("{kind}-2").as_str()), "{kind}");
    }
    let page = page(study.path());
    assert!(page.contains("<summary>Gradients of mesa, layer by layer</summary>"));
    let folded = page.find("<details>").unwrap();
    assert!(page.find("id=\"accuracy-and-time\"").unwrap() < folded);
    assert!(page.find("id=\"cosine-overview\"").unwrap() < folded);
    // The findings are on pooling, so other codecs have no say in them.
    assert!(summary.findings.iter().all(|f| !f.headline.contains("mesa")));
    let curves = study.path().join("figures/loss-and-accuracy-2.csv");
    assert!(std::fs::read_to_string(curves).unwrap().contains(",none,"), "the baseline in each");
}

#[test]
fn plans_stand_in_the_study_s_order_with_the_exact_one_first() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let page = page(study.path());
    let table = &page[page.find("id=\"plans\"").unwrap()..];
    let places: Vec<_> =
        ["none", "pool2", "pool4"].map(|p| table.find(&format!("<b>{p}</b>")).unwrap()).to_vec();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_figure_s_csv_holds_what_the_records_hold() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(study.path().join(name)).unwrap();
    // One seed's accuracy in the figure's data is the recorded one, digit for digit.
    let table = read("tables/epochs.csv");
    let recorded = table.lines().find(|l| l.starts_with("pool2,2,3,")).unwrap();
    let recorded: f64 = recorded.rsplit(',').next().unwrap().parse().unwrap();
    let figure = read("figures/loss-and-accuracy.csv");
    let drawn = figure.lines().find(|l| l.starts_with("test accuracy (fraction),pool2,1,4,"));
    let drawn: f64 = drawn.unwrap().rsplit(',').next().unwrap().parse().unwrap();
    assert_eq!(drawn, recorded);
    // The one undefined gradient is empty, not 0 or 1.
    let cosine = read("figures/cosine-pool2.csv");
    assert!(cosine.lines().any(|l| l == "layer1.1.conv2,11,,0"), "{cosine}");
    // Of whole passes only what changes is drawn, in forward order.
    let whole = read("figures/whole-passes-pool2.csv");
    let first = |name: &str| whole.lines().position(|l| l.starts_with(name)).unwrap();
    assert!(first("conv1.weight") < first("layer1.0.conv1.weight"), "{whole}");
    assert!(first("layer2.0.conv2.weight") < first("layer2.0.downsample.0.weight"), "{whole}");
    assert!(
        !whole.contains("fc.weight") && read("tables/whole-gradients.csv").contains("fc.weight")
    );
    // Bytes are those of the ledger and of the counting allocator.
    let kept = read("figures/kept-bytes.csv");
    let bytes = 64 * 4 * 3 * 1024 / 4;
    let row = format!("pool2,conv1,conv and linear inputs,{},{}", bytes + 16, bytes + 48);
    assert!(kept.lines().any(|l| l == row), "{kept}");
}

#[test]
fn the_same_records_give_the_same_report() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let first = page(study.path());
    write(study.path()).unwrap();
    assert_eq!(page(study.path()), first);
}

#[test]
fn a_plan_that_is_gone_leaves_no_figure_and_nobody_else_s_file_is_touched() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let figure = |name: &str| study.path().join("figures").join(name);
    for own in ["notes.svg", "cosine-pool4-mine.csv"] {
        std::fs::write(figure(own), "mine").unwrap();
    }
    assert!(figure("cosine-pool4.svg").exists());
    for folder in folders.iter().filter(|f| f.to_string_lossy().contains("pool4")) {
        std::fs::remove_dir_all(folder).unwrap();
    }
    let summary = write(study.path()).unwrap();
    for gone in [
        "whole-passes-pool4.svg",
        "cosine-pool4.svg",
        "cosine-pool4.csv",
        "cosine-by-layer-pool4.svg",
    ] {
        assert!(!figure(gone).exists(), "{gone}");
    }
    assert!(figure("notes.svg").exists() && figure("cosine-pool4-mine.csv").exists());
    assert!(summary.figures.iter().chain(&summary.tables).all(|file| file.exists()));

    for folder in folders.iter().filter(|f| f.exists()) {
        std::fs::remove_file(folder.join("measurements.jsonl")).unwrap();
    }
    let times = study.path().join("tables/times.csv");
    assert!(times.exists());
    write(study.path()).unwrap();
    assert!(!times.exists());
}

#[test]
fn a_longer_plan_is_drawn_for_as_long_as_it_trained() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    for seed in [1, 2] {
        let planned = support::EPOCHS + 3;
        let state = RunState::Finished;
        let (plan, spec) = ("pool4-long", "pool4");
        runs.push(Made { plan, spec, index: 3, seed, factor: 4, epochs: planned, planned, state });
    }
    support::write(study.path(), &runs);
    let summary = write(study.path()).unwrap();
    let page = page(study.path());
    assert!(page.contains("2 seeds, 6 to 9 epochs"), "{page}");
    let headline = &summary.findings[1].headline;
    assert!(headline.contains("Test accuracy after 6 epochs: none "), "{headline}");
    assert!(
        headline.contains("; pool4-long ") && headline.ends_with("after 9 epochs"),
        "{headline}"
    );
    let read = |name: &str| std::fs::read_to_string(study.path().join("figures").join(name));
    let curves = read("loss-and-accuracy.csv").unwrap();
    let last = |plan: &str| {
        let of = format!("test accuracy (fraction),{plan},0,");
        let mut epochs = curves.lines().filter_map(|l| l.strip_prefix(&of)?.split(',').next());
        epochs.next_back().unwrap().to_string()
    };
    assert_eq!((last("pool4").as_str(), last("pool4-long").as_str()), ("6", "9"));
    // What is kept does not depend on the epochs, so it is drawn once for each codec.
    for once in ["kept-bytes.csv", "memory-timeline.csv"] {
        assert!(!read(once).unwrap().contains("pool4-long"), "{once}");
    }
    assert!(read("cosine-pool4-long.csv").is_ok());
}

#[test]
fn the_summary_is_plain_data() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    let summary = serde_json::to_value(write(study.path()).unwrap()).unwrap();
    assert_eq!(summary["finished"], 6);
    assert_eq!(summary["findings"][0]["verdict"], "confirmed");
    assert_eq!(summary["findings"][1]["verdict"], "open");
    let questions: Vec<_> = summary["answers"].as_array().unwrap().iter().collect();
    assert_eq!(questions.len(), 6);
    assert_eq!(questions[0]["question"], "Fewest bytes without losing 1 point of accuracy");
    assert_eq!(questions[0]["plan"], serde_json::Value::Null);
    assert!(questions[0]["answer"].as_str().unwrap().contains("cannot say with n = 2"));
}

/// A plan that leaves the probed layers exact, such as one for activation functions only, still
/// changes gradients between whole passes; what is kept again in the backward pass counts as held.
#[test]
fn what_a_plan_does_beside_the_probed_layers_is_told() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    runs.truncate(4); // pool2 and none
    for run in runs.iter_mut().filter(|run| run.plan == "pool2") {
        (run.plan, run.spec, run.factor) = ("regelu2", "regelu2", 1);
    }
    let folders = support::write(study.path(), &runs);
    for folder in &folders[..2] {
        let fidelity = Fidelity {
            cosine: Some(0.75),
            relative_error: Some(0.5),
            norm_ratio: Some(1.0),
            snr_db: Some(6.0),
            exact_norm: 1.0,
        };
        let parameter = "conv1.weight".to_owned();
        let record = Record::WholeGradient { epoch: 0, step: 0, parameter, fidelity, draws: None };
        support::append(folder, &record);
        let point = TimelinePoint { layer: "conv1".into(), backward: true, kept: 1 << 40 };
        support::append(folder, &Record::Timeline { step: 1, points: vec![point] });
    }
    write(study.path()).unwrap();
    let table = std::fs::read_to_string(study.path().join("tables/head-to-head.csv")).unwrap();
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let row = lines.find(|row| row[0] == "regelu2").unwrap();
    let value = |name: &str| row[header.iter().position(|h| *h == name).unwrap()];
    assert_eq!(value("cosine_mean"), "");
    let whole: f64 = value("whole_pass_cosine_mean").parse().unwrap();
    // The mean over steps and seeds of this parameter: exact wherever it was not made to differ.
    assert!((0.75..1.0).contains(&whole), "{whole}");
    assert_eq!(value("held_bytes_at_most").parse::<f64>().unwrap(), (1u64 << 40) as f64);
    let page = page(study.path());
    assert!(page.contains("whole-passes-regelu2"));
    let exact = &page[page.find("Plans without fidelity figures").unwrap()..];
    assert!(
        exact.starts_with("Plans without fidelity figures: <b>none</b>. "),
        "{}",
        &exact[..200]
    );
}

#[test]
fn a_plan_that_starts_from_another_s_weights_says_so_and_has_no_say_in_the_findings() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    folders[4..].iter().for_each(|folder| support::start_from(folder, "none")); // pool4
    let summary = write(study.path()).unwrap();
    let page = page(study.path());
    assert_eq!(page.matches("from the weights of <b>none</b>").count(), 2, "in both tables");
    let table = std::fs::read_to_string(study.path().join("tables/head-to-head.csv")).unwrap();
    let from: Vec<_> = table.lines().map(|line| line.split(',').nth(2).unwrap()).collect();
    assert_eq!(from, ["from", "", "", "none"]);
    let accuracy = &summary.findings[1];
    assert!(!format!("{accuracy:?}").contains("pool4"), "{accuracy:?}");
}
