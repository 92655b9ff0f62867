//! The time of a step: by turns with the exact plan, the same number everywhere.

use std::path::Path;

use packlight_record::Timings;
use packlight_report::write;

use crate::support::{self, complete};
use crate::{page, table};

/// Writes the timings of [`complete`] with this noise.
fn time(study: &Path, noise: f64) {
    let plans = complete().iter().step_by(2).map(|run| support::timing(run, noise)).collect();
    Timings { plans }.write(study).unwrap();
}

fn title(study: &Path) -> String {
    let svg = std::fs::read_to_string(study.join("figures/accuracy-and-time.svg")).unwrap();
    svg.split("<title").nth(1).unwrap().split("</title>").next().unwrap().to_owned()
}

#[test]
fn figure_and_table_have_the_median_of_the_rounds_and_none_is_1() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let timings = Timings::read(study.path()).unwrap();
    let drawn =
        std::fs::read_to_string(study.path().join("figures/accuracy-and-time.csv")).unwrap();
    for row in table(study.path(), "head-to-head") {
        let plan = row["plan"].as_str();
        let mut ratios: Vec<f64> =
            timings.of(plan).unwrap().rounds.iter().map(|r| r.own / r.baseline).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio: f64 = row["step_time_ratio"].parse().unwrap();
        assert_eq!(ratio, if plan == "none" { 1.0 } else { ratios[3] });
        // Of seven values, the interval with 95 % is from the lowest to the highest.
        assert_eq!(row["step_time_ratio_low_95"].parse::<f64>().unwrap(), ratios[0]);
        assert_eq!(row["step_time_ratio_high_95"].parse::<f64>().unwrap(), ratios[6]);
        let of = drawn.lines().filter(|line| line.starts_with(&format!("{plan},")));
        let costs: Vec<f64> =
            of.map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
        assert_eq!(costs, [ratio; 2], "the figure's data");
        assert!(page(study.path()).contains(&format!("{ratio:.2}× (")), "the table");
    }
    let rounds = table(study.path(), "timings");
    assert_eq!(rounds.len(), 3 * 7);
    let first = rounds.iter().find(|row| row["codecs"] == "pool4").unwrap();
    assert_eq!(first["own"].parse::<f64>().unwrap(), timings.of("pool4").unwrap().rounds[0].own);
}

#[test]
fn a_front_over_time_is_drawn_only_beyond_the_noise() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    write(study.path()).unwrap();
    let said = title(study.path());
    assert!(said.contains("on the Pareto front none; differences below "), "{said}");
    time(study.path(), 2.0);
    write(study.path()).unwrap();
    let said = title(study.path());
    assert!(said.contains("without a front: differences below ") && said.contains(" are noise"));
    assert!(!said.contains("Pareto"), "{said}");
}

#[test]
fn a_timing_of_another_plan_machine_or_number_of_threads_does_not_count() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    let plans = "none = 'none'\npool2 = 'pool2'\npool4 = 'pool4'";
    let text = format!("name = 'made-up'\ntitle = 't'\nseeds = [1, 2]\n[plans]\n{plans}");
    std::fs::write(study.path().join("study.toml"), text).unwrap();
    let ratio = |change: &dyn Fn(&mut Timings)| {
        time(study.path(), 0.02);
        let mut timings = Timings::read(study.path()).unwrap();
        change(&mut timings);
        timings.write(study.path()).unwrap();
        write(study.path()).unwrap();
        let rows = table(study.path(), "head-to-head");
        rows.into_iter().find(|row| row["plan"] == "pool4").unwrap()["step_time_ratio"].clone()
    };
    let pool4 =
        |timings: &mut Timings| timings.plans.iter().position(|t| t.plan == "pool4").unwrap();
    assert_ne!(ratio(&|_| ()), "");
    assert_eq!(
        ratio(&|t| {
            let i = pool4(t);
            t.plans[i].study_hash = "old".into();
        }),
        ""
    );
    assert_eq!(
        ratio(&|t| {
            let i = pool4(t);
            t.plans[i].cpu = "another".into();
        }),
        ""
    );
    assert_eq!(
        ratio(&|t| {
            let i = pool4(t);
            t.plans[i].threads = 64;
        }),
        ""
    );
    assert_eq!(
        ratio(&|t| {
            let i = pool4(t);
            t.plans.remove(i);
        }),
        ""
    );
    let drawn =
        std::fs::read_to_string(study.path().join("figures/accuracy-and-time.csv")).unwrap();
    assert!(drawn.contains("pool2") && !drawn.contains("pool4"));
    // Without a timing of the exact plan there is no noise to judge by, and no time at all.
    std::fs::remove_file(study.path().join("timings.json")).unwrap();
    write(study.path()).unwrap();
    assert!(!study.path().join("figures/accuracy-and-time.svg").exists());
    assert!(
        table(study.path(), "head-to-head").iter().all(|row| row["step_seconds_median"].is_empty())
    );
}
