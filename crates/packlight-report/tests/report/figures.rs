//! What figures and tables of layers take from the records, and the colours of plans.

use std::path::Path;

use packlight_record::{Draws, Fidelity, KeptKind, Record};
use packlight_report::{write, write_collection};
use packlight_spec::Collection;
use roxmltree::Document;

use crate::support::{self, Made, complete};
use crate::{page, table};

fn read(study: &Path, name: &str) -> String {
    std::fs::read_to_string(study.join("figures").join(name)).unwrap()
}

/// The small study, with `specs` as further plans.
fn with_plans(specs: &[&'static str]) -> Vec<Made> {
    let mut runs = complete();
    for (i, spec) in specs.iter().enumerate() {
        for seed in [1, 2] {
            let (index, factor) = (3 + i as u64, 2 + i as u64 % 3);
            let like = runs[0].clone();
            runs.push(Made { plan: spec, spec, index, seed, factor, ..like });
        }
    }
    runs
}

#[test]
fn state_that_codecs_carry_over_counts_as_peak_memory() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let peaks = || -> Vec<(String, f64)> {
        let csv = read(study.path(), "accuracy-and-memory.csv");
        let rows = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.map(|row| (row[0].to_owned(), row[2].parse().unwrap())).collect()
    };
    let before = peaks();
    let state = 8 << 20;
    for folder in &folders[4..] {
        let (layer, kind) = ("conv1".into(), KeptKind::CodecState);
        let kept = Record::Kept { step: 0, layer, kind, payload: state, metadata: 0, raw: state };
        support::append(folder, &kept);
    }
    write(study.path()).unwrap();
    for ((plan, then), (_, now)) in before.iter().zip(peaks()) {
        let more = if plan == "pool4" { state as f64 } else { 0.0 };
        assert_eq!(now - then, more, "{plan}");
    }
    let svg = read(study.path(), "accuracy-and-memory.svg");
    assert!(svg.contains("peak of a training step, with codec state"), "{svg}");
    for row in table(study.path(), "head-to-head") {
        let own = peaks().into_iter().filter(|(plan, _)| *plan == row["plan"]);
        let most = own.map(|(_, peak)| peak).fold(0.0, f64::max);
        assert_eq!(row["peak_bytes_allocated"].parse::<f64>().unwrap(), most);
    }
    assert!(
        read(study.path(), "memory-timeline.svg")
            .contains("without the state that codecs carry over")
    );
}

#[test]
fn gradient_errors_over_training_are_those_of_all_parameters_together() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let csv = read(study.path(), "gradient-error.csv");
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|l| l.split(',').collect()).collect();
    assert!(rows.iter().all(|row| row[1] != "none"), "an exact plan has no error to show");
    // Every parameter has the bias 0.3 and the variance 0.04, of which four draws leave a quarter in
    // the square of the bias.
    for row in rows.iter().filter(|row| row[0] != "error of a pass") {
        let expected = if row[0] == "bias" { (0.09f64 - 0.01).sqrt() } else { 0.04 };
        assert!((row[4].parse::<f64>().unwrap() - expected).abs() < 1e-9, "{row:?}");
    }
    // The error of the first step of one seed, from the table of parameters.
    let table = std::fs::read_to_string(study.path().join("tables/whole-gradients.csv")).unwrap();
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let at = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let (mut error, mut exact) = (0.0, 0.0);
    for row in lines.filter(|row| (row[0], row[at("seed")], row[at("step")]) == ("pool4", "2", "0"))
    {
        let [relative, norm] =
            ["relative_error", "exact_norm"].map(|name| row[at(name)].parse::<f64>().unwrap());
        error += (relative * norm).powi(2);
        exact += norm.powi(2);
    }
    let drawn = rows.iter().find(|row| row[..4] == ["error of a pass", "pool4", "1", "0"]).unwrap();
    assert!((drawn[4].parse::<f64>().unwrap() - (error / exact).sqrt()).abs() < 1e-9);
}

/// The colour of the mark before the first text that starts with `name`: that of its legend entry.
fn color(svg: &str, name: &str) -> String {
    let document = Document::parse(svg).unwrap();
    let said =
        |n: &roxmltree::Node<'_, '_>| n.text().is_some_and(|text| text.trim().starts_with(name));
    let text = document.descendants().find(|n| n.has_tag_name("text") && said(n)).unwrap();
    let mark = text.prev_sibling_element().unwrap();
    let ink = |name| mark.attribute(name).filter(|ink| *ink != "none");
    ink("fill").or(ink("stroke")).unwrap().to_owned()
}

#[test]
fn a_plan_has_its_colour_in_every_figure_and_the_best_stand_beside_each_group() {
    let study = tempfile::tempdir().unwrap();
    let specs = ["q1", "q2", "last=4", "q4", "q8", "mesa", "alam", "bf16"];
    let mut runs = with_plans(&specs);
    // A plan without compressed layers, so that some figures leave it out.
    runs.iter_mut().filter(|run| run.plan == "last=4").for_each(|run| run.factor = 1);
    support::write(study.path(), &runs);
    write(study.path()).unwrap();
    for plan in ["q8", "mesa", "alam", "bf16"] {
        let name = format!("{plan} (n = 2)");
        let of = |figure: &str, name: &str| color(&read(study.path(), figure), name);
        let expected = of("loss-and-accuracy-2.svg", &name);
        assert_eq!(of("gradient-error-2.svg", &name), expected, "{plan}");
        assert_eq!(of("memory-timeline-2.svg", &format!("{plan}: peak")), expected, "{plan}");
    }
    assert!(!read(study.path(), "gradient-error.svg").contains("last=4"));
    // Of the whole study, the plan with the lowest error is drawn beside every group.
    let first = read(study.path(), "gradient-error.csv");
    let second = read(study.path(), "gradient-error-2.svg");
    assert!(first.contains(",pool2,") && second.contains("pool2 (n = 2), for comparison"));
}

#[test]
fn a_layer_that_a_plan_lacks_has_no_row() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    let log = std::fs::read_to_string(folders[0].join("records.jsonl")).unwrap();
    let conv = log.lines().find(|line| line.contains("learning_indicator")).unwrap();
    let value: serde_json::Value = serde_json::from_str(conv).unwrap();
    let text = value["value"].to_string().replace("\"conv1\"", "\"segment1\"");
    support::append(&folders[0], &serde_json::from_str::<Record>(&text).unwrap());
    write(study.path()).unwrap();
    assert!(read(study.path(), "cosine-pool2.csv").contains("segment1,"));
    for figure in ["cosine-pool4.csv", "cosine-by-layer-pool4.csv"] {
        assert!(!read(study.path(), figure).contains("segment1"), "{figure}");
    }
    // Layers that a plan leaves exact have no panel among those that it changes.
    assert!(!read(study.path(), "cosine-by-layer-pool2.csv").contains("fc,"));
}

#[test]
fn what_training_kept_stands_beside_what_the_probe_saw_where_they_differ() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    write(study.path()).unwrap();
    assert!(!page(study.path()).contains("in training</th>"));
    for folder in &folders[..2] {
        let (layer, kind) = ("conv1".to_owned(), KeptKind::Input);
        let kept = Record::Kept { step: 9, layer, kind, payload: 16, metadata: 0, raw: 786_432 };
        support::append(folder, &kept); // pool2, two seeds
    }
    write(study.path()).unwrap();
    let page = page(study.path());
    let layers = &page[page.find("id=\"layers\"").unwrap()..];
    assert!(layers.contains("in training</th>"));
    // The mean of 196,624 and 16 bytes.
    let row = &layers[layers.find("<code>conv1</code>").unwrap()..];
    assert!(row[..row.find("</tr>").unwrap()].contains("96.0 KiB"), "{row}");
}

#[test]
fn a_collection_s_figure_has_the_differences_of_common_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut one_seed_less = complete();
    one_seed_less.retain(|run| run.plan != "pool4" || run.seed == 2);
    support::write(&folder.path().join("first"), &complete());
    support::write(&folder.path().join("second"), &one_seed_less);
    std::fs::write(
        folder.path().join("study.toml"),
        "title = 'All'\nstudies = ['first', 'second']",
    )
    .unwrap();
    let collection = Collection::read(folder.path()).unwrap().unwrap();
    write_collection(&collection, folder.path()).unwrap();
    let page = page(folder.path());
    assert!(page.find("id=\"accuracy-loss\"").unwrap() < page.find("id=\"first\"").unwrap());
    let csv = read(folder.path(), "accuracy-loss.csv");
    let epochs = folder.path().join("second/tables/epochs.csv");
    let epochs = std::fs::read_to_string(epochs).unwrap();
    let last = |plan: &str| -> f64 {
        let of = format!("{plan},2,{},", support::EPOCHS - 1);
        let row = epochs.lines().find(|line| line.starts_with(&of)).unwrap();
        row.rsplit(',').next().unwrap().parse().unwrap()
    };
    let row = csv.lines().find(|line| line.starts_with("second,pool4,pooling,")).unwrap();
    let row: Vec<&str> = row.split(',').collect();
    let points = 100.0 * (last("pool4") - last("none"));
    assert!((row[4].parse::<f64>().unwrap() - points).abs() < 1e-9, "{row:?}");
    assert_eq!(row[5], "1", "a seed that only one of them has does not count");
    assert!(csv.lines().any(|line| line.starts_with("first,pool2,") && line.ends_with(",2")));
    assert!(!csv.contains(",none,"));
}

/// Replaces the whole gradients of a run by one of this step, error, bias and variance.
fn probe_once(run: &Path, step: u64, error: f64, bias: f64, variance: f64) {
    let path = run.join("records.jsonl");
    let records: Vec<Record> = packlight_record::read_log(&path).unwrap().values;
    std::fs::remove_file(&path).unwrap();
    let mut log = packlight_record::Appender::open(&path, 0).unwrap();
    for record in records.iter().filter(|r| !matches!(r, Record::WholeGradient { .. })) {
        log.append(record).unwrap();
    }
    log.sync().unwrap();
    let (cosine, norm_ratio, snr_db) = (None, None, None);
    let relative_error = Some(error);
    let fidelity = Fidelity { cosine, relative_error, norm_ratio, snr_db, exact_norm: 2.0 };
    let draws = Some(Draws { count: 4, bias: Some(bias), variance: Some(variance) });
    let parameter = "fc.weight".to_owned();
    support::append(run, &Record::WholeGradient { epoch: 0, step, parameter, fidelity, draws });
}

#[test]
fn what_an_early_gradient_s_error_foretells_is_a_rank_correlation() {
    let specs = ["q8", "q4", "mesa", "alam", "division", "hosvd:0.8", "topk:0.1"];
    let mut runs = with_plans(&specs);
    runs.retain(|run| run.plan == "none" || specs.contains(&run.plan));
    runs.iter_mut().filter(|run| run.plan != "none").for_each(|run| run.factor = run.index - 1);
    let disturbed = |early: u64| {
        let study = tempfile::tempdir().unwrap();
        for (run, folder) in runs.iter().zip(support::write(study.path(), &runs)) {
            if run.plan != "none" {
                // The larger the factor, the lower the accuracy, and the larger the bias; the error of
                // a pass says the opposite.
                let factor = run.factor as f64;
                probe_once(&folder, early, 2.0 - 0.1 * factor, 0.1 * factor, 0.02);
            }
        }
        write(study.path()).unwrap();
        study
    };
    let study = disturbed(13); // of 138 steps
    let csv = read(study.path(), "accuracy-and-gradient-error.csv");
    for run in runs.iter().filter(|run| run.plan != "none") {
        let start = format!("{},{},", run.plan, run.seed - 1);
        let row = csv.lines().find(|line| line.starts_with(&start)).unwrap();
        let error: f64 = row.split(',').nth(2).unwrap().parse().unwrap();
        // Four draws leave a quarter of the variance in the square of the bias.
        let squared_bias = (0.1 * run.factor as f64).powi(2) - 0.02 / 4.0;
        assert!((error - (squared_bias + 0.02 / 19.0).sqrt()).abs() < 1e-9, "{row}");
    }
    assert!(!csv.contains("none,"), "an exact gradient has no error");
    let said = "foretells the accuracy: rank correlation −1.00 (−1.00 to −0.76, 7 plans)";
    assert!(page(study.path()).contains(said));
    // A probe after the first tenth foretells nothing.
    let late = disturbed(14);
    assert!(!late.path().join("figures/accuracy-and-gradient-error.csv").exists());
}
