//! The page on single layers.

use std::path::Path;

use packlight_record::{
    Compared, Draws, Fidelity, LayerKind, OneOff, Record, RunState, SensitivityRecord,
};
use packlight_report::write;
use packlight_spec::Point;

use crate::scores::{self, facts, indicator, resnet18, score};
use crate::support::{self, Made, complete};
use crate::table;

/// Two layers of a block, one at the floor and one that no codec packs; two batches.
///
/// The whole gradient's norm is 2, so an error is half the root of the mean of `squared_error`.
fn small() -> Vec<SensitivityRecord> {
    let conv = LayerKind::Conv;
    let mut records = vec![
        facts(0, "a.x", conv, 1000),
        facts(1, "a.y", conv, 400),
        facts(2, "fc", LayerKind::Linear, 500),
        facts(3, "norm", LayerKind::Norm, 300),
    ];
    for (batch, share) in [(0, 0.25), (1, 0.75)] {
        let own = [
            ("a.x", "q2", [0.16, 0.32][batch]), // mean 0.24: error sqrt(0.06)
            ("a.y", "q2", 0.04),                // error 0.1
            ("fc", "q2", 4.0),
            ("a.x", "q8", 0.0004),                  // error 0.01
            ("a.y", "q8", [0.0001, 0.0007][batch]), // mean 0.0004: error 0.01
        ];
        for (layer, codec, squared_error) in own {
            let mut score = score(layer, codec, batch as u64, squared_error);
            score.learning_indicator = (layer == "a.x").then(|| indicator(share));
            if layer == "fc" {
                score.fidelity.exact_norm = 1e-9;
            }
            if codec == "q8" {
                score.kept_bytes = 250;
            }
            records.push(SensitivityRecord::Score(score));
        }
    }
    records
}

fn page(study: &std::path::Path) -> String {
    std::fs::read_to_string(study.join("sensitivity.html")).unwrap()
}

/// The part of the page between two of its ids.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let at = |id: &str| page.find(&format!("id=\"{id}\"")).unwrap();
    &page[at(from)..at(to)]
}

#[test]
fn the_ranking_has_the_values_that_were_computed_by_hand() {
    let study = tempfile::tempdir().unwrap();
    scores::write(study.path(), &small());
    let summary = write(study.path()).unwrap();
    assert!(
        summary.page.ends_with("sensitivity.html") && !study.path().join("index.html").exists()
    );
    let rows = table(study.path(), "sensitivity-ranking");
    assert_eq!(rows.len(), 5);
    let row = |layer: &str, codec: &str| {
        rows.iter().find(|row| row["layer"] == layer && row["codec"] == codec).unwrap()
    };
    let number = |layer: &str, codec: &str, column: &str| -> f64 {
        row(layer, codec)[column].parse().unwrap()
    };
    let error = number("a.x", "q2", "error");
    assert!((error - 0.06f64.sqrt()).abs() < 1e-12, "{error}");
    // Squared errors 0.04 and 0.08, whose standard error is a third of their mean; Student's t is 12.706.
    let factor = (12.7062f64 / 3.0 / 2.0).exp();
    assert!((number("a.x", "q2", "low") * factor - error).abs() < 1e-4);
    assert!((number("a.x", "q2", "high") / factor - error).abs() < 1e-4);
    assert_eq!(number("a.x", "q2", "n"), 2.0);
    assert_eq!(
        (number("a.x", "q2", "kept_bytes"), number("a.x", "q2", "raw_bytes")),
        (100.0, 1000.0)
    );
    assert!((number("a.x", "q2", "cosine") - 0.9).abs() < 1e-12);
    assert!((number("a.x", "q2", "li_nonpositive") - 0.5).abs() < 1e-12);
    assert_eq!(row("a.y", "q2")["li_nonpositive"], "");
    assert_eq!((&*row("fc", "q2")["at_floor"], &*row("a.y", "q2")["at_floor"]), ("true", "false"));

    let page = page(study.path());
    // All at q2, the floor included: 0.06 + 0.01 + 1; the block a alone: 0.07.
    let codecs = between(&page, "codecs", "figures");
    assert!(codecs.contains(">1.03</td>"), "the root of 1.07");
    assert!(codecs.contains("<b>0.265 most</b>") || codecs.contains(">0.265<"), "the root of 0.07");
    // Of the ranked layers' squares, 0.06 and 0.01, all come from these two.
    assert!(codecs.contains("a.x and a.y: 100.0 %"));
    let ranking = between(&page, "ranking", "data");
    let (first, last) = (ranking.find("a.x</code> <b>most</b>"), ranking.find("a.y</code> <span"));
    assert!(first.unwrap() < last.unwrap(), "the most sensitive layer comes first");
    assert!(!ranking.contains("<code>fc</code>"), "a layer at the floor has no rank");
    assert!(
        ranking.contains("no rank: <b>fc</b>.")
            && ranking.contains("exact in all allocations (1 layer): norm.")
    );
}

#[test]
fn one_batch_has_no_interval_and_nothing_is_said_of_one() {
    let study = tempfile::tempdir().unwrap();
    let first = |r: &SensitivityRecord| !matches!(r, SensitivityRecord::Score(s) if s.batch > 0);
    scores::write(study.path(), &small().into_iter().filter(first).collect::<Vec<_>>());
    let findings = write(study.path()).unwrap().sensitivity.unwrap().findings;
    let knee = findings.iter().find(|f| f.contains("The knee of the frontier")).unwrap();
    assert!(knee.contains(" times this error: "), "{knee}");
    for finding in &findings {
        assert!(finding.contains("(n = 1: no interval)"), "{finding}");
        assert!(!finding.contains("overlap") && !finding.contains("95 %"), "{finding}");
    }
    let cell = "<td class=\"number\" data-value=\"\">none, n = 1</td>";
    assert!(page(study.path()).contains(cell), "it is sorted to the end");
}

#[test]
fn findings_say_value_interval_and_n_and_claim_nothing_where_intervals_overlap() {
    let study = tempfile::tempdir().unwrap();
    let mut records = small();
    // A codec of as many bytes as q8, whose errors spread over those of q8, and one that is worse.
    for (codec, errors) in [("same", [0.0001, 0.0009]), ("worse", [0.2, 0.208])] {
        for (batch, squared_error) in (0..).zip(errors) {
            for layer in ["a.x", "a.y"] {
                let mut score = score(layer, codec, batch, squared_error);
                score.kept_bytes = 251;
                records.push(SensitivityRecord::Score(score));
            }
        }
    }
    scores::write(study.path(), &records);
    let findings = write(study.path()).unwrap().sensitivity.unwrap().findings;
    let page = page(study.path());
    for finding in &findings {
        assert!(finding.contains("95 % interval") && finding.contains("n = 2"), "{finding}");
        assert!(page.contains(finding), "{finding}");
    }
    let first = "With q2 at every layer the predicted error of the whole gradient is 1.03";
    assert!(findings[0].starts_with(first), "{findings:?}");
    assert!(findings[0].contains("of 2 layers: a.x 0.245 (95 % interval 0.0295 to 2.04)"));
    let equal = findings.iter().find(|f| f.contains("Of the 3 codecs that keep")).unwrap();
    assert!(equal.contains("cannot be told apart"), "{equal}");

    // Without `same`, q8 is certain to be better than `worse`.
    let without =
        |r: &&SensitivityRecord| !matches!(r, SensitivityRecord::Score(s) if s.codec == "same");
    let records: Vec<_> = records.iter().filter(without).cloned().collect();
    std::fs::remove_dir_all(study.path().join("sensitivity")).unwrap();
    scores::write(study.path(), &records);
    let findings = write(study.path()).unwrap().sensitivity.unwrap().findings;
    let equal = findings.iter().find(|f| f.contains("Of the 2 codecs that keep")).unwrap();
    assert!(equal.contains("q8 disturbs the gradient least"), "{equal}");
}

#[test]
fn a_whole_study_gives_every_figure_and_both_pages_know_each_other() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    scores::write(study.path(), &resnet18());
    let summary = write(study.path()).unwrap();
    assert!(summary.page.ends_with("index.html"));
    let layers = summary.sensitivity.unwrap();
    let names: Vec<_> =
        layers.figures.iter().map(|f| f.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "sensitivity-map",
            "sensitivity-levels",
            "sensitivity-training-codecs",
            "sensitivity-training-layers",
            "sensitivity-bias",
            "sensitivity-one-off",
            "sensitivity-loss",
            "sensitivity-frontier",
            "sensitivity-allocations",
        ]
    );
    let page = page(study.path());
    for (path, name) in layers.figures.iter().zip(names) {
        roxmltree::Document::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(path.with_extension("csv").exists());
        for link in [format!("figures/{name}.svg"), format!("figures/{name}.csv")] {
            assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
        }
    }
    assert!(layers.tables.iter().all(|table| table.exists()));
    assert_eq!(page.matches("How to read this.").count(), layers.figures.len());
    let index = std::fs::read_to_string(study.path().join("index.html")).unwrap();
    assert!(index.contains("href=\"sensitivity.html\"") && page.contains("href=\"index.html\""));
    for forbidden in ["http:", "https:", "//cdn", "<script src", "<link", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }

    // Without scores at a second point there is no course over training, and its figures go.
    let start = |record: &&SensitivityRecord| match record {
        SensitivityRecord::Score(score) => score.point == Point::START,
        SensitivityRecord::Loss(change) => change.point == Point::START,
        SensitivityRecord::OneOff(one_off) => one_off.point == Point::START,
        _ => true,
    };
    let records: Vec<_> = resnet18().iter().filter(start).cloned().collect();
    std::fs::remove_dir_all(study.path().join("sensitivity")).unwrap();
    scores::write(study.path(), &records);
    assert_eq!(write(study.path()).unwrap().sensitivity.unwrap().figures.len(), 7);
    assert!(!study.path().join("figures/sensitivity-training-codecs.svg").exists());
    assert!(study.path().join("figures/loss-and-accuracy.svg").exists());
}

#[test]
fn a_log_that_is_empty_damaged_or_torn_is_told_with_what_to_do() {
    let study = tempfile::tempdir().unwrap();
    let path = scores::write(study.path(), &[]);
    let error = write(study.path()).unwrap_err().to_string();
    assert!(
        error.contains("no score has been measured yet") && error.contains("packlight sensitivity")
    );

    scores::write(study.path(), &small());
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replacen("a.x", "b.x", 1)).unwrap();
    let error = write(study.path()).unwrap_err().to_string();
    assert!(error.contains("scores.jsonl") && error.contains("line 1: checksum"), "{error}");
    assert!(error.contains("remove this file and run `packlight sensitivity"), "{error}");

    std::fs::write(&path, format!("{whole}{{\"crc\":\"12")).unwrap();
    write(study.path()).unwrap();
    assert!(page(study.path()).contains("The measurement was interrupted"));

    // A codec that was not tried on every batch is left out, and the page says so.
    let last = whole.lines().count() - 1;
    let without_last: Vec<&str> = whole.lines().take(last).collect();
    std::fs::write(&path, without_last.join("\n") + "\n").unwrap();
    write(study.path()).unwrap();
    assert!(page(study.path()).contains("<li>a.y, q8: was not measured"));
}

#[test]
fn bias_and_spread_are_the_parts_of_the_error() {
    let study = tempfile::tempdir().unwrap();
    let mut records = small();
    scores::write(study.path(), &records);
    write(study.path()).unwrap();
    let csv = study.path().join("figures/sensitivity-bias.csv");
    assert!(!csv.exists(), "one draw tells nothing of them");
    for record in &mut records {
        if let SensitivityRecord::Score(score) = record {
            // Half of the error of `a.x`, none of that of `a.y`, which is estimated below 0.
            let part = if score.layer == "a.x" { 0.5 } else { -0.1 };
            (score.draws, score.squared_bias) = (2, Some(part * score.squared_error));
        }
    }
    std::fs::remove_dir_all(study.path().join("sensitivity")).unwrap();
    scores::write(study.path(), &records);
    write(study.path()).unwrap();
    let mut found = csv::Reader::from_path(csv).unwrap();
    let rows: Vec<(String, String, f64, f64)> = found.deserialize().map(Result::unwrap).collect();
    let row = |codec: &str, layer: &str| {
        let row = rows.iter().find(|row| row.0 == codec && row.1 == layer).unwrap();
        (row.2.powi(2), row.3.powi(2))
    };
    let close = |found: (f64, f64), expected: (f64, f64)| {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(found.0, expected.0) && near(found.1, expected.1), "{found:?}");
    };
    close(row("q2", "a.x"), (0.03, 0.03));
    close(row("q2", "a.y"), (0.0, 0.011));
    // All layers: the sums, 0.03 less 0.001, and 0.03 and 0.011.
    close(row("q2", ""), (0.029, 0.041));
    assert!(rows.iter().all(|row| row.1 != "fc"), "a layer at the floor is left out");
}

#[test]
fn losses_and_single_exact_layers_stand_against_errors() {
    let study = tempfile::tempdir().unwrap();
    let mut records = small();
    scores::write(study.path(), &records);
    write(study.path()).unwrap();
    let csv = |name: &str| study.path().join(format!("figures/sensitivity-{name}.csv"));
    assert!(!csv("loss").exists() && !csv("one-off").exists());
    let rises = |layer: &str, codec: &str| match (layer, codec) {
        ("a.x", "q2") => [0.25, 0.75],
        ("a.y", "q2") => [0.125, 0.125],
        _ => [-0.5, 0.0],
    };
    for record in records.clone() {
        let SensitivityRecord::Score(score) = record else { continue };
        let rise = rises(&score.layer, &score.codec)[score.batch as usize];
        records.push(SensitivityRecord::Loss(scores::change(&score, rise)));
        if score.codec == "q2" {
            // At all layers the error is 4.5, without `a.x` as much less as it has alone, and half of that
            // without the others.
            let part = if score.layer == "a.x" { 1.0 } else { 0.5 };
            let without = scores::one_off(&score, 4.5 - part * score.squared_error);
            records.push(SensitivityRecord::OneOff(without));
        }
        if (score.layer.as_str(), score.codec.as_str()) == ("a.x", "q2") {
            let all = OneOff { except: None, ..scores::one_off(&score, 4.5) };
            records.push(SensitivityRecord::OneOff(all));
        }
    }
    for record in &mut records {
        // One of its layers passes errors on.
        if let SensitivityRecord::Score(score) = record
            && score.codec == "q2"
            && score.layer == "a.y"
        {
            score.compared = Compared::All;
        }
    }
    std::fs::remove_dir_all(study.path().join("sensitivity")).unwrap();
    scores::write(study.path(), &records);
    write(study.path()).unwrap();
    let values = |name: &str, layer: &str, codec: &str| -> Vec<f64> {
        let mut found = csv::Reader::from_path(csv(name)).unwrap();
        let mut rows = found.records().map(Result::unwrap);
        let row = rows.find(|row| (&row[0], &row[1]) == (layer, codec)).unwrap();
        (2..7).map(|at| row[at].parse().unwrap()).collect()
    };
    let close = |found: Vec<f64>, expected: [f64; 5]| {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{found:?} {expected:?}");
    };
    let t = 12.706_205; // Student's, of two batches
    let half = t * 0.25;
    close(values("loss", "a.x", "q2"), [0.06f64.sqrt(), 0.5, 0.5 - half, 0.5 + half, 2.0]);
    close(values("loss", "a.y", "q8"), [0.01, -0.25, -0.25 - half, -0.25 + half, 2.0]);
    let error = 0.06f64.sqrt();
    let (low, high) = (0.0, (0.06 + t * 0.02).sqrt());
    close(values("one-off", "a.x", "q2"), [error, error, low, high, 2.0]);
    let half = 0.005f64.sqrt();
    close(values("one-off", "a.y", "q2"), [0.1, half, half, half, 2.0]);
    // A codec that only changes own gradients needs no pass.
    close(values("one-off", "a.x", "q8"), [0.01, 0.01, 0.01, 0.01, 2.0]);
    let page = page(study.path());
    assert!(
        page.contains("Loss after 20 updates against the error of the gradient: rank correlation")
    );
    let floor = std::fs::read_to_string(csv("loss")).unwrap();
    assert!(!floor.contains("fc"), "a layer at the floor is left out");
}

#[test]
fn runs_are_reported_where_no_layer_was_measured_yet() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    scores::write(study.path(), &[]);
    let summary = write(study.path()).unwrap();
    assert!(summary.sensitivity.is_none() && !study.path().join("sensitivity.html").exists());
    let index = std::fs::read_to_string(study.path().join("index.html")).unwrap();
    assert!(!index.contains("sensitivity.html"));
}

/// Scores as of [`small`] with another codec at `a.y`, and a hundredfold at the end of the training.
fn scores_to_verify() -> Vec<SensitivityRecord> {
    let mut records = small();
    for batch in [0, 1] {
        records.push(SensitivityRecord::Score(score("a.y", "pool2", batch, 0.16))); // error 0.2
    }
    for record in records.clone() {
        if let SensitivityRecord::Score(mut score) = record {
            score.state += " at the end";
            (score.point, score.squared_error) = (Point::END, 100.0 * score.squared_error);
            records.push(SensitivityRecord::Score(score));
        }
    }
    records
}

/// Writes a study of plans whose runs compared a whole gradient at their first step.
fn verify(study: &Path, plans: &[(&'static str, &'static str, &[f64])], draws: Option<Draws>) {
    for (index, (plan, spec, errors)) in (0..).zip(plans) {
        for (seed, error) in (1..).zip(*errors) {
            let (epochs, planned, state) = (0, 1, RunState::Finished);
            let made = Made { plan, spec, index, seed, factor: 1, epochs, planned, state };
            let fidelity = Fidelity {
                cosine: Some(0.9),
                relative_error: Some(*error),
                norm_ratio: Some(1.0),
                snr_db: None,
                exact_norm: 3.0,
            };
            let (epoch, step, parameter) = (0, 0, "fc.weight".into());
            let record = Record::WholeGradient { epoch, step, parameter, fidelity, draws };
            for run in support::write(study, &[made]) {
                support::append(&run, &record);
            }
        }
    }
}

/// Each plan of the calibration with its predicted and measured errors, a row for each seed.
fn calibration(study: &Path) -> Vec<(String, f64, f64)> {
    let csv = study.join("figures/sensitivity-calibration.csv");
    let mut rows = csv::Reader::from_path(csv).unwrap();
    let rows = rows.deserialize::<(String, u64, f64, f64)>().map(Result::unwrap);
    rows.map(|row| (row.0, row.2, row.3)).collect()
}

#[test]
fn verified_plans_have_correlation_and_calibration_that_were_computed_by_hand() {
    let study = tempfile::tempdir().unwrap();
    scores::write(study.path(), &scores_to_verify());
    let first: [(_, _, &[f64]); 4] = [
        ("none", "none", &[0.0]),
        ("a", "a.x=q2", &[0.3, 0.5]),         // predicted sqrt(0.06)
        ("b", "default=none,a.y=q2", &[0.5]), // predicted 0.1
        ("other", "fc=q8", &[0.5]),
    ];
    verify(&study.path().join("verify-first"), &first, None);
    write(study.path()).unwrap();
    assert!(!page(study.path()).contains("rank correlation"), "of two plans");
    assert!(!study.path().join("figures/sensitivity-calibration.svg").exists());

    // Another study has one of them again, and a plan of the same name.
    let second: [(_, _, &[f64]); 3] = [
        ("again", "a.x=q2", &[9.0]),
        ("b", "conv=q8", &[0.02]),       // predicted sqrt(0.0002)
        ("pooled", "a.y=pool2", &[0.2]), // predicted 0.2
    ];
    verify(&study.path().join("verify-second"), &second, None);
    let summary = write(study.path()).unwrap().sensitivity.unwrap();
    let expected = [
        ("a", 0.06f64.sqrt(), 0.3),
        ("a", 0.06f64.sqrt(), 0.5),
        ("b", 0.1, 0.5),
        ("b of made-up", 0.0002f64.sqrt(), 0.02),
        ("pooled", 0.2, 0.2),
    ];
    let found = calibration(study.path());
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.0 == expected.0 && found.2 == expected.2, "{found:?}");
        assert!((found.1 - expected.1).abs() < 1e-12, "{found:?}");
    }
    // Ranks 4, 2, 1 and 3 by prediction, 3, 4, 1 and 2 by measurement: 1 - 6 (1 + 4 + 0 + 1) / 60.
    let correlation = "rank correlation 0.40 (4 plans, too few for an interval)";
    assert!(page(study.path()).contains(correlation));
    // Ratios 0.4 / 0.245, 0.5 / 0.1, 0.02 / 0.0141 and 0.2 / 0.2.
    let finding = summary.findings.last().unwrap();
    for said in [
        "rank correlation of 0.40",
        "is 1.52 (median; 1.00 to 5.00, n = 4) times",
        "; pooling 1.00 (n = 1); few bits 1.63 (median; 1.41 to 5.00, n = 3).",
        "Not predicted: other, measured 0.500 (q8 was not measured at fc).",
    ] {
        assert!(finding.contains(said), "{said}: {finding}");
    }
}

#[test]
fn what_lasts_is_compared_where_passes_were_repeated() {
    let study = tempfile::tempdir().unwrap();
    let mut records = scores_to_verify();
    for record in &mut records {
        if let SensitivityRecord::Score(score) = record {
            (score.draws, score.squared_bias) = (2, Some(0.0));
        }
    }
    scores::write(study.path(), &records);
    let plans: [(_, _, &[f64]); 3] =
        [("a", "a.x=q2", &[0.5]), ("b", "a.y=q2", &[0.5]), ("c", "a.y=pool2", &[0.5])];
    // Two draws of a codec without bias: their mean is off by the root of half the variance.
    let draws = Draws { count: 2, bias: Some(0.3), variance: Some(0.18) };
    for (draws, left, measured) in
        [(None, 1.0, 0.5), (Some(draws), 1.0 / 19.0, (0.18f64 / 19.0).sqrt())]
    {
        let folder = study.path().join("verify-plan");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        verify(&folder, &plans, draws);
        write(study.path()).unwrap();
        for (found, squared) in calibration(study.path()).iter().zip([0.06f64, 0.01, 0.04]) {
            assert!((found.1 - (squared * left).sqrt()).abs() < 1e-12, "{found:?}");
            assert!((found.2 - measured).abs() < 1e-9, "{found:?}");
        }
    }
}
