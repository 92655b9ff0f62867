//! Plans that train for longer, or from another plan's weights.

use packlight_record::RunState;
use packlight_report::write;

use crate::support::{self, EPOCHS, Made, with_seeds};
use crate::{page, table};

#[test]
fn what_starts_from_trained_weights_is_an_experiment_of_its_own() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &with_seeds(&[1, 2, 3, 4, 5]));
    for folder in folders.iter().filter(|folder| folder.to_string_lossy().contains("pool4")) {
        support::start_from(folder, "pool2");
    }
    let summary = write(study.path()).unwrap();
    let page = page(study.path());
    let own = &page[page.find("<h3>Started from trained weights</h3>").unwrap()..];
    let own = &own[..own.find("</table>").unwrap()];
    assert!(own.contains("<b>pool4</b>") && own.contains("6 + 6</td>"), "{own}");
    assert!(own.contains("vs pool2") && !own.contains("<b>none</b>"), "{own}");
    let rows = table(study.path(), "head-to-head");
    let pool4 = rows.iter().find(|row| row["plan"] == "pool4").unwrap();
    assert_eq!(pool4["compared_with"], "pool2");
    let drawn =
        |name: &str| std::fs::read_to_string(study.path().join("figures").join(name)).unwrap();
    assert!(!drawn("accuracy-and-kept-bytes.csv").contains("pool4"));
    assert!(!drawn("accuracy-and-time.csv").contains("pool4"));
    let front = drawn("accuracy-and-kept-bytes-from-trained-weights.csv");
    assert!(front.contains("pool4 (6 + 6 epochs),") && front.contains("pool2,"), "{front}");
    assert!(!front.contains("none,"), "{front}");
    assert!(summary.answers.iter().all(|answer| answer.plan.as_deref() != Some("pool4")));
}

#[test]
fn longer_schedules_are_marked_and_compared_with_the_exact_plan_of_as_many_epochs() {
    let study = tempfile::tempdir().unwrap();
    let mut runs = with_seeds(&[1, 2, 3]);
    let longer = EPOCHS + 3;
    for (index, (plan, spec, factor)) in
        [("pool4-long", "pool4", 4), ("none-long", "none", 1)].into_iter().enumerate()
    {
        for seed in [1, 2, 3] {
            let (index, state) = (3 + index as u64, RunState::Finished);
            runs.push(Made {
                plan,
                spec,
                index,
                seed,
                factor,
                epochs: longer,
                planned: longer,
                state,
            });
        }
    }
    support::write(study.path(), &runs);
    let summary = write(study.path()).unwrap();
    let rows = table(study.path(), "head-to-head");
    let with =
        |plan: &str| rows.iter().find(|row| row["plan"] == plan).unwrap()["compared_with"].clone();
    assert_eq!(with("pool4-long"), "none-long (9 epochs)");
    assert_eq!((with("none-long").as_str(), with("pool4").as_str()), ("none", "none"));
    let page = page(study.path());
    assert!(page.contains("<b>9 epochs</b>") && page.contains("vs none-long (9 epochs)"), "{page}");
    for figure in ["accuracy-and-kept-bytes", "accuracy-and-memory", "accuracy-and-time"] {
        let csv = study.path().join(format!("figures/{figure}.csv"));
        let csv = std::fs::read_to_string(csv).unwrap();
        assert!(csv.contains("pool4-long (9 epochs),"), "{figure}: {csv}");
    }
    // The summary is about plans that train alike.
    assert!(summary.answers.iter().all(|a| a.plan.as_deref() != Some("pool4-long")));
}
