//! Reports of partial, failed, damaged and missing records.

use std::collections::HashSet;

use packlight_record::RunState;
use packlight_report::{Error, Verdict, write};

use crate::support::{self, complete};
use crate::{page, table};

#[test]
fn unfinished_failed_and_missing_runs_are_named_at_the_top() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    runs[1].state = RunState::Unfinished;
    runs[1].epochs = 2;
    runs[4].state = RunState::Failed { reason: "the disk <is> full".into() };
    runs[4].epochs = 3;
    runs.remove(5);
    support::write(study.path(), &runs);
    let summary = write(study.path()).unwrap();
    assert_eq!((summary.finished, summary.unfinished, summary.failed), (3, 1, 1));
    assert_eq!(summary.missing, 1);
    let page = page(study.path());
    let notice = &page[..page.find("id=\"summary\"").unwrap()];
    assert!(notice.contains("This report is incomplete: 3 of 6 runs have finished."), "{notice}");
    assert!(notice.contains("pool2, seed 2: unfinished, 2 of 6 epochs recorded"), "{notice}");
    assert!(notice.contains("pool4, seed 1: failed after 3 epochs: the disk &lt;is&gt; full"));
    assert!(notice.contains("pool4, seed 2: not started"));
    assert!(page.contains("has no finished run"));
}

#[test]
fn runs_that_the_study_asks_for_and_nobody_started_are_named() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    runs.retain(|run| run.seed == 1 && run.plan != "pool4");
    support::write(study.path(), &runs);
    let asks = |seeds: &str, plans: &str| {
        let text =
            format!("name = \"made-up\"\ntitle = \"t\"\nseeds = [{seeds}]\n[plans]\n{plans}");
        std::fs::write(study.path().join("study.toml"), text).unwrap();
        (write(study.path()).unwrap(), page(study.path()))
    };
    let plans = "pool2 = 'pool2'\nnone = 'none'\npool4 = { plan = 'pool4', epochs = 9 }";
    let (summary, page) = asks("1, 2", plans);
    assert_eq!((summary.finished, summary.missing), (2, 4));
    assert!(page.contains("This report is incomplete: 2 of 6 runs have finished."), "{page}");
    for runs in ["pool2, seed 2", "none, seed 2", "pool4, seeds 1 and 2"] {
        assert!(page.contains(&format!("<li>{runs}: not started</li>")), "{runs}");
    }
    assert!(page.contains("<td class=\"number\">1 of 2</td>"), "runs finished of a plan");

    let many: String = (1..=8).map(|bits| format!("q{bits} = 'q{bits}'\n")).collect();
    let (_, page) = asks("1, 2", &format!("{plans}\n{many}"));
    assert!(page.contains("<summary>20 runs not started</summary>"), "many are folded away");

    let (summary, _) = asks("1", "none = 'none'");
    assert_eq!((summary.finished, summary.missing), (1, 0), "a plan that is gone lacks nothing");
    let (summary, page) = asks("1,, 2", plans);
    assert_eq!((summary.finished, summary.missing), (2, 0));
    assert!(page.contains("This report may be incomplete: 2 of 2 runs have finished."));
    assert!(page.contains("the runs still to be started are not known"));
}

#[test]
fn damaged_records_are_left_out_with_a_word() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    let records = folders[0].join("records.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    std::fs::write(&records, text.replacen("conv1", "conv9", 1)).unwrap();
    std::fs::write(folders[2].join("manifest.json"), "{").unwrap();
    let summary = write(study.path()).unwrap();
    assert_eq!((summary.finished, summary.failed), (4, 2));
    let page = page(study.path());
    assert!(page.contains("pool2, seed 1: its records are left out:"));
    assert!(page.contains("checksum"));
    assert!(page.contains("none-seed1"));
}

#[test]
fn a_finished_run_whose_records_lost_their_end_has_no_accuracy() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    let records = folders[4].join("records.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    let first_epoch = text.lines().position(|line| line.contains("\"type\":\"epoch\"")).unwrap();
    for left in [first_epoch + 1, 0] {
        // Whole lines are lost, so that no line is torn.
        let kept: String = text.lines().take(left).map(|line| format!("{line}\n")).collect();
        std::fs::write(&records, kept).unwrap();
        let summary = write(study.path()).unwrap();
        assert_eq!((summary.finished, summary.unfinished, summary.failed), (5, 0, 1));
        let page = page(study.path());
        assert!(page.contains("This report is incomplete: 5 of 6 runs have finished."), "{page}");
        assert!(page.contains("pool4, seed 1: its records are left out:"), "{page}");
        assert!(page.contains("the record of its end is missing"), "{page}");
        let row = &table(study.path(), "head-to-head")[2];
        assert_eq!((row["plan"].as_str(), row["seeds"].as_str()), ("pool4", "1"));
        assert_eq!(row["verdict"], "not judged before all runs finish");
    }
}

#[test]
fn of_a_run_with_one_damaged_log_neither_is_used() {
    for log in ["records.jsonl", "measurements.jsonl"] {
        let study = tempfile::tempdir().unwrap();
        let folders = support::write(study.path(), &complete());
        let path = folders[4].join(log);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"step\":", "\"stop\":", 1)).unwrap();
        write(study.path()).unwrap();
        assert!(page(study.path()).contains("pool4, seed 1: its records are left out:"));
        for name in ["epochs", "gradients", "kept", "times"] {
            let seeds: HashSet<String> = (table(study.path(), name).into_iter())
                .filter(|row| row["plan"] == "pool4")
                .map(|row| row["seed"].clone())
                .collect();
            assert_eq!(seeds, HashSet::from(["2".to_owned()]), "{log}: {name}");
        }
    }
}

#[test]
fn a_torn_last_line_of_a_run_that_was_killed_is_no_damage() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    runs[0].state = RunState::Unfinished;
    let folders = support::write(study.path(), &runs);
    let records = folders[0].join("records.jsonl");
    let bytes = std::fs::read(&records).unwrap();
    std::fs::write(&records, &bytes[..bytes.len() - 7]).unwrap();
    let summary = write(study.path()).unwrap();
    assert_eq!((summary.unfinished, summary.failed), (1, 0));

    // A run that has finished left no line half written, so there it is.
    let records = folders[1].join("records.jsonl");
    let bytes = std::fs::read(&records).unwrap();
    std::fs::write(&records, &bytes[..bytes.len() - 7]).unwrap();
    let summary = write(study.path()).unwrap();
    assert_eq!((summary.unfinished, summary.failed), (1, 1));
    assert!(page(study.path()).contains("the last line is damaged"));
}

#[test]
fn seeds_that_no_float_tells_apart_are_two_seeds() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    for run in &mut runs {
        run.seed += 1_700_000_000_000_000_000;
    }
    support::write(study.path(), &runs);
    write(study.path()).unwrap();
    let table = std::fs::read_to_string(study.path().join("tables/head-to-head.csv")).unwrap();
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let seeds = lines.next().unwrap().iter().position(|h| *h == "seeds").unwrap();
    assert!(lines.all(|row| row[seeds] == "2"));
    let curves =
        std::fs::read_to_string(study.path().join("figures/loss-and-accuracy.csv")).unwrap();
    for seed in ["none,0,", "none,1,"] {
        assert!(curves.contains(seed), "{curves}");
    }
}

#[test]
fn runs_that_have_recorded_nothing_yet_give_a_page_that_says_so() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    runs.truncate(2);
    runs.iter_mut().for_each(|run| run.state = RunState::Unfinished);
    let folders = support::write(study.path(), &runs);
    for folder in folders {
        std::fs::remove_file(folder.join("records.jsonl")).unwrap();
        std::fs::remove_file(folder.join("measurements.jsonl")).unwrap();
    }
    let summary = write(study.path()).unwrap();
    assert!(summary.figures.is_empty());
    assert!(summary.findings.iter().all(|f| f.verdict == Verdict::Open));
    assert!(page(study.path()).contains("No run has recorded anything to draw yet."));
}

#[test]
fn a_study_without_runs_says_what_to_do() {
    let study = tempfile::tempdir().unwrap();
    let error = write(study.path()).unwrap_err();
    assert!(matches!(error, Error::NoRuns { .. }));
    assert!(error.to_string().contains("packlight run"), "{error}");
    std::fs::create_dir(study.path().join("runs")).unwrap();
    assert!(matches!(write(study.path()).unwrap_err(), Error::NoRuns { .. }));
}
