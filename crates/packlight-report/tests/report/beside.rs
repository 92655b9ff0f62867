//! The page that lays two studies side by side.

use std::path::Path;

use packlight_record::{Manifest, Record, SensitivityRecord, read_log, write_log};
use packlight_report::{BesideSummary, ChangeVerdict, Compared, PlanChange, write_beside};

use crate::{scores, support};

const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// Two studies of the same made-up runs, `a` and `b`, within `folder`.
fn two(folder: &Path) -> [std::path::PathBuf; 2] {
    let studies = ["a", "b"].map(|name| folder.join(name));
    for study in &studies {
        support::write(study, &support::with_seeds(&SEEDS));
    }
    studies
}

/// Adds `by` and a little that differs from seed to seed to the accuracies of a plan.
fn change_accuracy(study: &Path, plan: &str, by: f64) {
    for seed in SEEDS {
        let path = study.join(format!("runs/{plan}-seed{seed}/records.jsonl"));
        let mut records: Vec<Record> = read_log(&path).unwrap().values;
        for record in &mut records {
            if let Record::Epoch { test_accuracy, .. } = record {
                *test_accuracy += by + 0.001 * seed as f64;
            }
        }
        write_log(&path, &records).unwrap();
    }
}

/// Changes the manifests of all runs.
fn change_manifests(study: &Path, change: impl Fn(&mut Manifest)) {
    for entry in std::fs::read_dir(study.join("runs")).unwrap() {
        let run = entry.unwrap().path();
        let mut manifest = Manifest::read(&run).unwrap();
        change(&mut manifest);
        manifest.write(&run).unwrap();
    }
}

fn accuracy<'a>(summary: &'a BesideSummary, plan: &str) -> &'a Compared {
    let found: &PlanChange = summary.plans.iter().find(|p| p.plan == plan).unwrap();
    found.accuracy.as_ref().unwrap()
}

fn page(summary: &BesideSummary) -> String {
    std::fs::read_to_string(&summary.page).unwrap()
}

#[test]
fn runs_of_one_seed_are_pairs_where_they_share_their_start() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = two(folder.path());
    change_accuracy(&b, "pool4", -0.05);
    let summary = write_beside(&a, &b).unwrap();
    assert_eq!(summary.studies, ["a", "b"]);
    assert_eq!(summary.page, a.join("beside-b.html"));
    let pool4 = accuracy(&summary, "pool4");
    assert!((pool4.change + 0.0475).abs() < 1e-12, "{pool4:?}");
    assert!(pool4.paired && pool4.n == [4, 4] && pool4.tests == 3, "{pool4:?}");
    // Differences of −49 to −46 thousandths: their standard deviation is 1.291 thousandths, t with 3
    // degrees 3.18245.
    let half = 3.182_45 * 0.001 * (5.0f64 / 3.0).sqrt() / 2.0;
    assert!((pool4.change_half_interval.unwrap() - half).abs() < 1e-7, "{pool4:?}");
    assert_eq!(pool4.verdict, ChangeVerdict::Lower);
    for plan in ["none", "pool2"] {
        assert_eq!(accuracy(&summary, plan).verdict, ChangeVerdict::Within, "{plan}");
    }
    let said = "The accuracy of 1 of 3 tested plans changed by more than the noise: pool4 −4.8 ± 0.2 points.";
    assert_eq!(summary.findings, [said]);
    assert!(summary.settings.is_empty());
    let page = page(&summary);
    assert!(page.contains(said) && page.contains("exceeds the noise: lower"), "{page}");
    assert!(page.contains("None: both were made with the same settings"));
    for figure in &summary.figures {
        let name = figure.file_name().unwrap().to_str().unwrap();
        assert!(figure.is_file() && page.contains(&format!("figures/{name}")), "{name}");
        let csv = std::fs::read_to_string(figure.with_extension("csv")).unwrap();
        assert!(csv.contains("pool4,test accuracy,a,"), "{csv}");
    }
    // What it compares stays as it was, and what is beside it, too.
    assert!(!a.join("index.html").exists() && !b.join("index.html").exists());
    crate::no_leftovers(folder.path());
}

#[test]
fn seeds_of_other_data_are_no_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = two(folder.path());
    change_accuracy(&b, "pool4", -0.05);
    change_manifests(&b, |manifest| manifest.data_hash = "0".repeat(64));
    let summary = write_beside(&a, &b).unwrap();
    let pool4 = accuracy(&summary, "pool4");
    assert!(!pool4.paired, "{pool4:?}");
    // Welch, from the accuracies that the studies' own tables have.
    packlight_report::write(&a).unwrap();
    packlight_report::write(&b).unwrap();
    let last = |study: &Path| -> Vec<f64> {
        let rows = crate::table(study, "epochs");
        let epoch = (support::EPOCHS - 1).to_string();
        let rows = rows.iter().filter(|r| r["plan"] == "pool4" && r["epoch"] == epoch);
        rows.map(|row| row["test_accuracy"].parse().unwrap()).collect()
    };
    let variance = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / 4.0;
        let floor = 1.0 / 359.0f64 / 12f64.sqrt();
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0).max(floor * floor) / 4.0
    };
    let (first, second) = (variance(&last(&a)), variance(&last(&b)));
    let degrees = (first + second).powi(2) / (first * first / 3.0 + second * second / 3.0);
    assert!((3.0..=6.0).contains(&degrees), "{degrees}");
    let t = pool4.change_half_interval.unwrap() / (first + second).sqrt();
    // Between the quantiles of 6 and of 3 degrees.
    assert!((2.4469..=3.1825).contains(&t), "{t}, {degrees}");
    let keys: Vec<&str> = summary.settings.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(keys, ["data_hash"]);
    assert!(page(&summary).contains("Welch's test"));
}

#[test]
fn settings_that_differ_and_plans_of_one_study_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = two(folder.path());
    let text = |rate: f64, plans: &str| {
        format!(
            "name = 'made-up'\ntitle = 't'\nseeds = [1, 2, 3, 4]\nepochs = 6\n[plans]\n{plans}\n\
             [optimizer]\nname = 'sgd'\nlearning_rate = {rate}"
        )
    };
    let plans = "none = 'none'\npool2 = 'pool2'";
    std::fs::write(a.join("study.toml"), text(0.05, plans)).unwrap();
    let more = format!("{plans}\npool4 = 'pool4'");
    std::fs::write(b.join("study.toml"), text(0.1, &more)).unwrap();
    let summary = write_beside(&a, &b).unwrap();
    assert_eq!(summary.plans_of_one, [vec![], vec!["pool4".to_owned()]]);
    let [setting] = &summary.settings[..] else { panic!("{:?}", summary.settings) };
    let found = (setting.key.as_str(), setting.first.as_f64(), setting.second.as_f64());
    assert_eq!(found, ("optimizer.learning_rate", Some(0.05), Some(0.1)));
    let page = page(&summary);
    assert!(page.contains("optimizer.learning_rate") && page.contains("Only <b>b</b> has pool4."));
    // Another learning rate leaves each seed its weights and samples.
    assert!(accuracy(&summary, "none").paired);
}

#[test]
fn with_few_seeds_or_unfinished_runs_nothing_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    support::write(&a, &support::with_seeds(&[1, 2]));
    support::write(&b, &support::with_seeds(&[1, 2]));
    let summary = write_beside(&a, &b).unwrap();
    let found = accuracy(&summary, "pool4");
    assert_eq!((found.verdict, found.p), (ChangeVerdict::TooFewSeeds, None));
    assert_eq!(found.change_half_interval, None);
    let run = b.join("runs/pool4-seed2");
    let state = packlight_record::RunState::Unfinished;
    Manifest { state, ..Manifest::read(&run).unwrap() }.write(&run).unwrap();
    let summary = write_beside(&a, &b).unwrap();
    assert_eq!(accuracy(&summary, "pool4").verdict, ChangeVerdict::Unfinished);
    assert!(page(&summary).contains("b: 5 of 6 runs have finished"));
}

/// Scores of a ResNet-18, those of `q2` at `layer` with `times` the error.
fn changed_scores(layer: &str, times: f64) -> Vec<SensitivityRecord> {
    let mut records = scores::resnet18();
    for record in &mut records {
        if let SensitivityRecord::Score(score) = record
            && score.layer == layer
            && score.codec == "q2"
        {
            score.squared_error *= times * times;
            score.squared_bias = score.squared_bias.map(|bias| bias * times * times);
        }
    }
    records
}

#[test]
fn errors_of_single_layers_are_compared_on_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    scores::write(&a, &scores::resnet18());
    scores::write(&b, &changed_scores("layer4.1.conv2", 100.0));
    let summary = write_beside(&a, &b).unwrap();
    let of =
        |layer: &str| summary.layers.iter().find(|c| c.codec == "q2" && c.layer == layer).unwrap();
    let changed = of("layer4.1.conv2");
    assert!((changed.ratio.unwrap() - 100.0).abs() < 1e-6, "{changed:?}");
    assert!(changed.paired && changed.exceeds == Some(true), "{changed:?}");
    let [before, after] = changed.ranks.unwrap();
    assert!(before > 10 && after == 1, "{changed:?}");
    let other = of("conv1");
    assert_eq!((other.ratio, other.exceeds), (Some(1.0), Some(false)));
    assert_eq!(of("fc").ranks, None, "at the floor");
    let finding = summary.findings.iter().find(|f| f.starts_with("q2: ")).unwrap();
    let said = format!("at 1 of 40 layers: layer4.1.conv2 100 times. {before} changed rank, most");
    assert!(finding.contains(&said), "{finding}");
    let page = page(&summary);
    assert!(page.contains(&format!("<b>{before} → 1</b>")), "{before}");
    assert!(page.contains("Both were measured on the same batches"));
    // Other seeds are other batches.
    let mut records = scores::resnet18();
    for record in &mut records {
        if let SensitivityRecord::Score(score) = record {
            score.seed += 10;
        }
    }
    std::fs::remove_dir_all(b.join("sensitivity")).unwrap();
    scores::write(&b, &records);
    let summary = write_beside(&a, &b).unwrap();
    let change = summary.layers.iter().find(|c| c.codec == "q2" && c.layer == "conv1").unwrap();
    let (low, high) = change.ratio_interval.unwrap();
    assert!(!change.paired && low < 1.0 && high > 1.0, "{change:?}");
}

#[test]
fn two_that_have_nothing_in_common_are_an_error_that_says_what_each_has() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = two(folder.path());
    let only_scores = folder.path().join("scores");
    scores::write(&only_scores, &scores::resnet18());
    let error = write_beside(&a, &only_scores).unwrap_err().to_string();
    assert!(error.contains("no plan of the same name"), "{error}");
    assert!(error.contains("a has the plans none, pool2 and pool4, and no scores"), "{error}");
    assert!(error.contains("scores has no runs, and scores of q8, "), "{error}");
    let error = write_beside(&a, &folder.path().join("./a")).unwrap_err().to_string();
    assert!(error.contains("both are this study"), "{error}");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let error = write_beside(&a, &empty).unwrap_err().to_string();
    assert!(error.contains("packlight run"), "{error}");
    assert!(!a.join("beside-empty.html").exists() && !a.join("figures").exists());
}

#[test]
fn other_initial_weights_under_one_path_make_other_starts() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = two(folder.path());
    for (study, hash) in [(&a, "a"), (&b, "b")] {
        change_manifests(study, |manifest| {
            let mut settings = match manifest.settings.take() {
                Some(serde_json::Value::Object(settings)) => settings,
                _ => serde_json::Map::new(),
            };
            settings.insert("from".into(), hash.repeat(64).into());
            manifest.settings = Some(settings.into());
        });
    }
    let summary = write_beside(&a, &b).unwrap();
    assert!(!accuracy(&summary, "pool4").paired);
    let page = page(&summary);
    assert!(page.contains("<code>weights</code>") && page.contains("<td>aaaaaaaaaaaa</td>"));
}

#[test]
fn scores_beside_runs_and_scores_are_of_the_same_settings() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = two(folder.path());
    for study in [&a, &b] {
        scores::write(study, &scores::resnet18());
    }
    std::fs::remove_dir_all(b.join("runs")).unwrap();
    let summary = write_beside(&a, &b).unwrap();
    assert!(summary.settings.is_empty());
}
