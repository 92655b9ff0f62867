//! A plan beside the others that follow from the scores.

use std::path::Path;

use packlight_record::PlanOrigin::{Allocated, Random, Uniform};
use packlight_record::{Record, RunState};
use packlight_report::{Contest, write};

use crate::scores::{self, resnet18, write_errors};
use crate::support::{self, Made};

const MIB: u64 = 1 << 20;

/// Runs of a plan with seeds 1, 2, ... that end with these accuracies.
fn trained(study: &Path, plan: &'static str, index: u64, accuracies: &[f64]) {
    for (seed, &test_accuracy) in (1..).zip(accuracies) {
        let (epochs, planned, state) = (0, 1, RunState::Finished);
        let made = Made { plan, spec: plan, index, seed, factor: 1, epochs, planned, state };
        let record = Record::Epoch {
            epoch: 0,
            step: 23,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            test_loss: 1.0,
            test_accuracy,
            test_perplexity: None,
            test_bleu: None,
        };
        for run in support::write(study, &[made]) {
            support::append(&run, &record);
        }
    }
}

#[test]
fn the_best_plan_of_one_codec_is_beaten_by_what_was_computed_by_hand() {
    let study = tempfile::tempdir().unwrap();
    scores::write(study.path(), &resnet18());
    let folder = study.path().join("verify-own");
    write_errors(
        &folder,
        &[
            ("own", Allocated, 2 * MIB, &[0.01, 0.04, 0.02]), // root of 0.07 / 3 / 4
            ("all-q4", Uniform, MIB, &[0.16, 0.16, 0.16]),    // 0.2
            ("all-q2", Uniform, MIB, &[0.64, 0.64, 0.64]),
            ("random-1", Random, MIB, &[0.04, 0.04, 0.04]), // 0.1, but of no codec alone
        ],
    );
    trained(&folder, "own", 0, &[0.80, 0.82, 0.84]);
    trained(&folder, "all-q4", 1, &[0.79, 0.80, 0.81]); // 1, 2 and 3 points lower
    let contest = Contest::read(&folder).unwrap().unwrap();
    assert_eq!((contest.best_uniform.as_deref(), contest.rivals.len()), (Some("all-q4"), 3));
    assert!((contest.error.mean - (0.07f64 / 12.0).sqrt()).abs() < 1e-12, "{contest:?}");
    let best = &contest.rivals[0];
    let ratio = best.ratio.unwrap();
    assert!((ratio.mean - 0.125f64.sqrt()).abs() < 1e-12, "{ratio:?}"); // of 1/4, 1/2 and 2^-1.5
    // The logarithms to base 2 have a standard deviation of 0.5; Student's t is 4.303.
    let factor = 2f64.powf(4.302_653 * 0.5 / 3f64.sqrt());
    let (low, high) = ratio.ends();
    assert!((low * factor - ratio.mean).abs() < 1e-6, "{ratio:?}");
    assert!((high / factor - ratio.mean).abs() < 1e-6, "{ratio:?}");
    assert_eq!(best.one_pass_ratio, best.ratio, "all is bias");
    let accuracy = best.accuracy.unwrap();
    // 0.01 / sqrt(3) times Student's 4.303.
    assert!((accuracy.mean - 0.02).abs() < 1e-12 && accuracy.n == 3, "{accuracy:?}");
    assert!((accuracy.half_interval.unwrap() - 0.02484).abs() < 1e-5, "{accuracy:?}");
    assert_eq!(contest.rivals[1].accuracy, None, "it was not trained");

    let said = contest.in_words();
    for words in [
        "`own` (2.00 MiB) beats the best plan of one codec that fits the same budget, `all-q4` (1.00 MiB)",
        "is 0.354 (95 % interval 0.149 to 0.836) times as large, in the geometric mean over 3 batches",
        "Trained, it ends +2.0 ± 2.5 points from it over 3 seeds (not lower by a point).",
    ] {
        assert!(said.contains(words), "`{words}`: {said}");
    }
    let summary = write(study.path()).unwrap().sensitivity.unwrap();
    assert!(summary.findings.contains(&said), "{:?}", summary.findings);
    let page = std::fs::read_to_string(study.path().join("sensitivity.html")).unwrap();
    assert!(page.contains("<li><code>own</code> (2.00 MiB) beats the best plan"), "{page}");
    let table = &page[page.find("id=\"rivals\"").unwrap()..page.find("id=\"figures\"").unwrap()];
    for cell in
        ["all-q4 <b>best of one codec</b>", ">0.354×<", "0.149 to 0.836", "+2.0 ± 2.5 (n = 3)"]
    {
        assert!(table.contains(cell), "`{cell}`: {table}");
    }
}

#[test]
fn what_the_interval_does_not_show_is_not_claimed() {
    let folder = tempfile::tempdir().unwrap();
    let read = |plans: &[(&str, _, u64, &[f64])]| {
        let _ = std::fs::remove_file(folder.path().join("errors.jsonl"));
        write_errors(folder.path(), plans);
        Contest::read(folder.path()).unwrap()
    };
    for (own, rival, words) in [
        (&[0.5, 0.1][..], &[0.2, 0.2][..], "cannot be told from the best plan of one codec"),
        (&[0.5, 0.5, 0.45], &[0.2, 0.2, 0.2], "loses to the best plan of one codec"),
        (&[0.5, 0.5], &[0.2, 0.2], "cannot be told from the best plan of one codec"), // of two
        (&[0.1], &[0.2], "cannot be told from the best plan of one codec"), // of one batch
        (&[0.1], &[0.0], "is compared with `all-q4` (1.00 MiB), which has no error at all"),
    ] {
        let plans = [("own", Allocated, 2 * MIB, own), ("all-q4", Uniform, MIB, rival)];
        let said = read(&plans).unwrap().in_words();
        assert!(said.contains(words) && !said.contains("Trained"), "`{words}`: {said}");
    }
    let alone = read(&[("own", Allocated, 2 * MIB, &[0.1]), ("random-1", Random, MIB, &[0.1])]);
    let said = alone.unwrap().in_words();
    assert!(
        said.contains("No measured codec at all layers alike keeps at most 3.00 MiB"),
        "{said}"
    );
    assert_eq!(read(&[("own", Allocated, MIB, &[]), ("all-q4", Uniform, MIB, &[0.1])]), None);
    std::fs::remove_file(folder.path().join("errors.jsonl")).unwrap();
    assert_eq!(Contest::read(folder.path()).unwrap(), None);
}
