//! Plans compared with the exact one, seed by seed, and what the page concludes.

use std::path::Path;

use packlight_record::{Appender, KeptKind, Manifest, Record, RunState, read_log};
use packlight_report::{Summary, Verdict, write};

use crate::support::{self, EPOCHS, Made, complete, with_seeds};
use crate::{page, table};

/// The report of runs with these seeds.
fn report(study: &Path, seeds: &[u64]) -> Summary {
    support::write(study, &with_seeds(seeds));
    write(study).unwrap()
}

#[test]
fn differences_are_paired_by_seed_and_judged_together() {
    let study = tempfile::tempdir().unwrap();
    let summary = report(study.path(), &[1, 2, 3, 4, 5]);
    let rows = table(study.path(), "head-to-head");
    let epochs = table(study.path(), "epochs");
    let last = |plan: &str| -> Vec<f64> {
        let end = (EPOCHS - 1).to_string();
        let of = epochs.iter().filter(|row| row["plan"] == plan && row["epoch"] == end);
        of.map(|row| row["test_accuracy"].parse().unwrap()).collect()
    };
    let row = rows.iter().find(|row| row["plan"] == "pool4").unwrap();
    let number = |name: &str| row[name].parse::<f64>().unwrap();
    let differences: Vec<f64> =
        last("pool4").iter().zip(last("none")).map(|(own, base)| own - base).collect();
    let mean = differences.iter().sum::<f64>() / 5.0;
    assert!((number("difference_mean") - mean).abs() < 1e-12);
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    // Student's t with 4 degrees; the standard deviation is at least that of rounding to 1 / 359.
    let sd = (squares / 4.0).sqrt().max(1.0 / 359.0 / 12f64.sqrt());
    let half = 2.776_445 * sd / 5f64.sqrt();
    assert!((number("difference_half_interval_95") - half).abs() < 1e-8);
    assert_eq!((row["compared_with"].as_str(), row["verdict"].as_str()), ("none", "loss"));
    assert!(number("difference_p_holm") < 0.05);

    let page = page(study.path());
    let said = format!("{:+.1} ± {:.1} (n = 5)", 100.0 * mean, 100.0 * half).replace('-', "−");
    assert!(page.contains(&said), "{said}");
    assert!(page.contains("Marks are corrected by Holm over the 2 plans of this study"), "{page}");
    // Bytes are saved; pool4 loses accuracy; downsample layers were made the best.
    let verdicts: Vec<_> = summary.findings.iter().map(|f| f.verdict).collect();
    assert_eq!((verdicts[0], verdicts[2]), (Verdict::Confirmed, Verdict::Confirmed));
    let pool2 = rows.iter().find(|row| row["plan"] == "pool2").unwrap();
    assert!(page.contains(&format!(">{}</span>", pool2["verdict"])), "{pool2:?}");
}

#[test]
fn with_two_seeds_the_page_says_what_it_cannot_say() {
    let study = tempfile::tempdir().unwrap();
    report(study.path(), &[1, 2]);
    let page = page(study.path());
    assert!(page.contains("(n = 2: no interval)"), "{page}");
    assert!(page.contains(">cannot say with n = 2; ") && page.contains(" seeds would</span>"));
    assert!(page.contains("No plan could be tested here"), "{page}");
    for row in table(study.path(), "head-to-head") {
        assert_eq!(row["difference_half_interval_95"], "", "{row:?}");
        assert_eq!(row["difference_p_holm"], "", "{row:?}");
    }
}

#[test]
fn the_summary_names_the_plan_with_the_fewest_bytes_and_the_best_of_each_budget() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = with_seeds(&[1, 2, 3, 4, 5]);
    runs.retain(|run| run.plan != "pool2");
    // A plan with the exact plan's accuracy and less than half of its bytes.
    let exact: Vec<Made> = runs.iter().filter(|run| run.plan == "none").cloned().collect();
    runs.extend(exact.into_iter().map(|run| Made { plan: "mesa", spec: "mesa", index: 9, ..run }));
    for folder in support::write(study.path(), &runs) {
        if folder.to_string_lossy().contains("mesa") {
            support::halve_what_is_kept(&folder);
        }
    }
    let summary = write(study.path()).unwrap();
    let said = |i: usize| (summary.answers[i].plan.as_deref(), summary.answers[i].answer.as_str());
    let (plan, answer) = said(0);
    assert_eq!(plan, Some("mesa"), "{answer}");
    assert!(answer.contains("0.0 ± ") && answer.ends_with("equivalent within 1 point"), "{answer}");
    assert_eq!(said(1).0, Some("mesa"), "the more accurate of two within half of the bytes");
    assert_eq!(said(2).0, None, "{}", said(2).1);
    assert_eq!((said(4).1, said(5).1), ("no run", "no run"));
    let page = page(study.path());
    assert!(page.contains("id=\"summary\"") && page.contains(answer), "{page}");
}

#[test]
fn the_verdict_says_whether_the_first_methods_work_and_what_does_better_with_no_more_bytes() {
    let seeds = [1, 2, 3, 4, 5];
    // Two rivals as accurate as the exact plan, with fewer bytes and with all of them; one like pool4.
    let verdict = |mesa: u64, halvings: usize| {
        let study = tempfile::tempdir().unwrap();
        let mut runs = with_seeds(&seeds);
        let others = [
            ("none", "mesa", "mesa", mesa),
            ("none", "dither2", "dither:2", 10),
            ("pool4", "swat", "swat:0.2", 11),
        ];
        for (like, plan, spec, index) in others {
            let alike: Vec<Made> = runs.iter().filter(|run| run.plan == like).cloned().collect();
            runs.extend(alike.into_iter().map(|run| Made { plan, spec, index, ..run }));
        }
        runs.iter_mut().filter(|run| run.plan != "mesa").for_each(|run| run.index += 1);
        for folder in support::write(study.path(), &runs) {
            if folder.to_string_lossy().contains("mesa") {
                (0..halvings).for_each(|_| support::halve_what_is_kept(&folder));
            }
        }
        let verdict = write(study.path()).unwrap().verdict.unwrap();
        assert!(page(study.path()).contains(&format!("<p>{verdict}</p>")), "{verdict}");
        verdict
    };
    let pooling = verdict(9, 2);
    assert!(pooling.starts_with("Pooling: does not work here. pool"), "{pooling}");
    assert!(pooling.contains(": loss, the one that loses least. With no more bytes"), "{pooling}");
    assert!(pooling.contains(": mesa (+"), "{pooling}");
    assert!(pooling.contains(") ends higher; swat (−"), "{pooling}");
    assert!(pooling.ends_with(") ends lower. With more bytes: dither2."), "{pooling}");
    let few_bits = verdict(0, 1);
    assert!(
        few_bits.starts_with("Few bits: works here. mesa holds 0.45× the bytes; "),
        "{few_bits}"
    );
    assert!(few_bits.contains(": equivalent within 1 point. No rival holds as few"), "{few_bits}");
    assert_eq!(verdict(0, 0), "Few bits: saves no bytes here.");
    // Without rivals there is nothing to say that the table of plans does not.
    let study = tempfile::tempdir().unwrap();
    assert_eq!(report(study.path(), &seeds).verdict, None);
}

#[test]
fn the_summary_tells_what_failed_and_what_diverged() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    for run in &mut runs[4..] {
        run.state = RunState::Failed { reason: "no space left".into() };
    }
    let folders = support::write(study.path(), &runs);
    let reason = "the loss is NaN".into();
    support::append(&folders[5], &Record::Diverged { step: 3, reason });
    let answers = write(study.path()).unwrap().answers;
    assert_eq!(
        (answers[4].question.as_str(), answers[4].answer.as_str()),
        ("Diverged", "pool4, seed 2")
    );
    assert_eq!(answers[5].answer, "pool4, seed 1");
}

#[test]
fn a_study_without_pooling_has_a_summary_and_no_findings_on_it() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = complete();
    runs.truncate(4);
    for run in runs.iter_mut().filter(|run| run.plan == "pool2") {
        (run.plan, run.spec) = ("q2", "q2");
    }
    support::write(study.path(), &runs);
    let summary = write(study.path()).unwrap();
    assert!(summary.findings.is_empty() && summary.answers.len() == 6);
    let page = page(study.path());
    assert!(page.contains("<h2>Summary</h2>") && page.contains("Fewest bytes without losing"));
    assert!(!page.contains("Barley") && !page.contains("downsample layers"), "{page}");
}

#[test]
fn shortened_runs_say_so_at_the_top_and_bear_no_verdict() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &with_seeds(&[1, 2, 3, 4, 5]));
    folders.iter().for_each(|folder| support::scale(folder, 0.25));
    let summary = write(study.path()).unwrap();
    assert_eq!(summary.scales, ["0.25"]);
    assert!(summary.findings.iter().all(|finding| finding.verdict == Verdict::Open));
    assert_eq!(summary.answers[0].plan, None);
    let page = page(study.path());
    let notice = page.find("A first look: these runs were made with --scale 0.25.").unwrap();
    assert!(notice < page.find("id=\"summary\"").unwrap());
    for row in table(study.path(), "head-to-head").iter().filter(|row| row["plan"] != "none") {
        assert!(row["verdict"].starts_with("not judged"), "{row:?}");
        assert_eq!(row["difference_p_holm"], "", "{row:?}");
    }
}

#[test]
fn an_exact_plan_that_only_guesses_bears_no_verdict_on_the_accuracy() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &with_seeds(&[1, 2, 3, 4, 5]));
    for run in std::fs::read_dir(study.path().join("runs")).unwrap() {
        let run = run.unwrap().path();
        let manifest = Manifest { guessed: Some(0.99), ..Manifest::read(&run).unwrap() };
        manifest.write(&run).unwrap();
    }
    let summary = write(study.path()).unwrap();
    let page = page(study.path());
    assert!(
        page.contains("The exact plan only guesses: ") && page.contains("gets 99.0 %"),
        "{page}"
    );
    let summary_starts = page.find("id=\"summary\"").unwrap();
    assert!(page.find("The exact plan only guesses").unwrap() < summary_starts);
    // That bytes are saved holds all the same.
    let verdicts: Vec<_> = summary.findings.iter().map(|f| f.verdict).collect();
    assert_eq!(verdicts[0], Verdict::Confirmed);
}

#[test]
fn what_the_probe_saw_stands_beside_what_training_keeps() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    write(study.path()).unwrap();
    assert!(!page(study.path()).contains("probed: "));
    // In later steps pool2 keeps a tenth of what it kept of the stem's input.
    for folder in &folders[..2] {
        for step in 1..10 {
            let record = Record::Kept {
                step,
                layer: "conv1".into(),
                kind: KeptKind::Input,
                payload: 6 * 1024,
                metadata: 0,
                raw: 64 * 4 * 3 * 1024,
            };
            support::append(folder, &record);
        }
    }
    write(study.path()).unwrap();
    let rows = table(study.path(), "head-to-head");
    let row = rows.iter().find(|row| row["plan"] == "pool2").unwrap();
    let share = |name: &str| row[name].parse::<f64>().unwrap();
    let (probed, trained) = (share("probed_share_of_inputs"), share("trained_share_of_inputs"));
    assert!(trained < 0.99 * probed, "{probed} {trained}");
    let said = format!(
        "probed: {:.1} % of inputs kept<br>trained: {:.1} %",
        100.0 * probed,
        100.0 * trained
    );
    assert!(page(study.path()).contains(&said), "{said}");
}

#[test]
fn the_mean_cosine_of_the_overview_is_that_of_the_table() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let svg = std::fs::read_to_string(study.path().join("figures/cosine-overview.svg")).unwrap();
    // The classifier stays exact under pool2, so a mean over all layers would be another number.
    for row in table(study.path(), "head-to-head").iter().filter(|row| row["plan"] != "none") {
        let mean = format!("{:.3}", row["cosine_mean"].parse::<f64>().unwrap());
        assert!(svg.matches(&mean).count() >= 2, "{mean}: in the title and beside the row");
    }
}

/// Writes the test loss's exponential beside it, as runs of a language model do, and a BLEU of 40 times the
/// accuracy, as those of translations do.
fn with_perplexity_and_bleu(run: &Path) {
    let path = run.join("records.jsonl");
    let records = read_log::<Record>(&path).unwrap().values;
    std::fs::remove_file(&path).unwrap();
    let mut log = Appender::open(&path, 0).unwrap();
    for mut record in records {
        if let Record::Epoch { test_loss, test_accuracy, test_perplexity, test_bleu, .. } =
            &mut record
        {
            *test_perplexity = Some(test_loss.exp());
            *test_bleu = Some(40.0 * *test_accuracy);
        }
        log.append(&record).unwrap();
    }
}

#[test]
fn perplexity_and_bleu_stand_beside_the_accuracy_where_they_were_recorded() {
    let study = tempfile::tempdir().unwrap();
    let runs = support::write(study.path(), &complete());
    write(study.path()).unwrap();
    assert!(!page(study.path()).contains(">perplexity<"));
    assert!(!page(study.path()).contains(">BLEU<"));
    for column in ["test_perplexity", "test_bleu"] {
        assert!(table(study.path(), "epochs").iter().all(|row| row[column].is_empty()));
    }

    runs.iter().for_each(|run| with_perplexity_and_bleu(run));
    write(study.path()).unwrap();
    let end = (EPOCHS - 1).to_string();
    let epochs = table(study.path(), "epochs");
    let last: Vec<f64> = epochs
        .iter()
        .filter(|row| row["plan"] == "pool4" && row["epoch"] == end)
        .map(|row| row["test_perplexity"].parse().unwrap())
        .collect();
    let mean = (last[0] + last[1]) / 2.0;
    let page = page(study.path());
    assert!(page.contains(">perplexity<") && page.contains(&format!(">{mean:.2} ± ")), "{mean}");
    assert!(page.contains(">BLEU<"), "{page}");
    for row in table(study.path(), "head-to-head") {
        let [accuracy, bleu] =
            ["accuracy_mean", "bleu_mean"].map(|c| row[c].parse::<f64>().unwrap());
        assert!((bleu - 40.0 * accuracy).abs() < 1e-9, "{row:?}");
        assert!(page.contains(&format!(">{bleu:.2} ± ")), "{bleu}");
    }
}
