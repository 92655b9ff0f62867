//! Plans of other methods that keep no more than a budget.

#![allow(clippy::unwrap_used)]

use packlight_study::{Fit, Options, Rival, Silent, find_rivals};

const TEXT: &str = r#"
name = "small"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 16
model = { name = "resnet18", width = 2, stem = "cifar" }
data = { name = "digits", size = 8, train_limit = 72, test_limit = 16 }
plans = { none = "none" }
optimizer = { name = "sgd", learning_rate = 0.01 }
"#;

fn found(text: &str, budget: u64) -> Vec<Rival> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), text).unwrap();
    let rivals = find_rivals(dir.path(), budget, &Options::default(), &mut Silent).unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().all(|entry| {
        let name = entry.unwrap().file_name();
        !name.to_string_lossy().contains("runs")
    }));
    rivals
}

fn fits(rival: &Rival) -> (&str, u64) {
    match &rival.fit {
        Fit::Fits { plan, bytes } => (plan, *bytes),
        other => panic!("{}: {other:?}", rival.method),
    }
}

#[test]
fn each_method_has_its_largest_plan_that_fits() {
    let all = found(TEXT, u64::MAX >> 12);
    let sizes: Vec<(&str, u64)> = all.iter().map(fits).collect();
    assert!(sizes[0].0.starts_with("asi:"));
    assert_eq!((sizes[1].0, sizes[2].0), ("actnn:1", "gact:16"));

    // One byte less than each of them keeps: the next smaller plan.
    for at in [1, 2] {
        let less = found(TEXT, sizes[at].1 - 1);
        let (plan, bytes) = fits(&less[at]);
        assert!(plan == "actnn:2" || at == 2 && plan.starts_with("gact:1"), "{plan}");
        assert!(bytes < sizes[at].1);
    }
    // What ASI leaves exact counts, so its own budget is less than the whole one.
    let budget = sizes[0].1 - sizes[0].1 / 50;
    let lowered = found(TEXT, budget);
    let (plan, bytes) = fits(&lowered[0]);
    let own: f64 = plan.trim_start_matches("asi:").trim_end_matches("MiB").parse().unwrap();
    assert!(bytes <= budget && own * f64::from(1 << 20) < 0.9 * budget as f64, "{plan} {bytes}");
    assert_eq!(found(TEXT, budget), lowered, "the same budget, the same plans");
}

#[test]
fn a_method_that_does_not_fit_says_what_its_smallest_plan_keeps() {
    let none = found(TEXT, 1000);
    for (rival, smallest) in none.iter().zip([None, Some("actnn:3"), Some("gact:1")]) {
        match (&rival.fit, smallest) {
            (Fit::TooLarge { plan, bytes }, Some(smallest)) => {
                assert!(plan == smallest && *bytes > 1000, "{plan} {bytes}");
            }
            (Fit::TooLarge { .. } | Fit::Refused { .. }, None) => {}
            (other, _) => panic!("{}: {other:?}", rival.method),
        }
    }
}

#[test]
fn asi_also_packs_linear_layers_where_there_is_nothing_else() {
    let mlp = TEXT.replace(
        "{ name = \"resnet18\", width = 2, stem = \"cifar\" }",
        "{ name = \"mlp\", hidden = [64] }",
    );
    let all = found(&mlp, 1 << 20);
    let (plan, bytes) = fits(&all[0]);
    assert!(plan.starts_with("linear=asi:") && bytes <= 1 << 20, "{plan} {bytes}");
}
