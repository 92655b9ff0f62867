//! Crash safety: a run that is killed anywhere and started again ends with the same record bytes
//! as one that was not.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{STUDY, adaptive, packlight, records, run, stderr, study, timed_study};
use packlight::kernels::rng::{Key, Purpose};
use packlight::record::Timings;

const KILLS: u32 = 20;

/// The study with the second plan starting from the weights of the first.
fn chained() -> String {
    let plan = "\"layer1.*=none,default=pool4\"";
    STUDY.replace(plan, &format!("{{ plan = {plan}, from = \"pool2\" }}"))
}

#[test]
fn killed_at_random_points_and_resumed_it_ends_with_the_same_records() {
    let text = chained();
    let whole = study(&text);
    let output = run(whole.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = records(whole.path());
    assert!(expected.iter().all(|records| !records.is_empty()));
    let again = timed_study(&text, whole.path());
    let begun = Instant::now();
    run(again.path());
    let mut took = begun.elapsed();
    assert!(records(again.path()) == expected);

    let mut random = Key::new(0, Purpose::Sample).stream();
    let mut killed = 0;
    for kill in 0..KILLS {
        let after = took.mul_f64((f64::from(kill) + random.uniform()) / f64::from(KILLS));
        let dir = timed_study(&text, whole.path());
        match run_and_kill(dir.path(), after) {
            true => killed += 1,
            // The machine has become faster, as when other tests have ended.
            false => took = took.min(after),
        }
        let output = run(dir.path());
        assert!(output.status.success(), "killed after {after:?}: {}", stderr(&output));
        assert!(records(dir.path()) == expected, "killed after {after:?}");
    }
    assert!(killed > KILLS as usize / 2, "only {killed} of {KILLS} were killed in time");
}

#[test]
fn killed_again_and_again_it_still_comes_to_the_same_end() {
    let whole = study(STUDY);
    run(whole.path());
    let dir = timed_study(STUDY, whole.path());
    let mut patience = Duration::from_millis(60);
    while run_and_kill(dir.path(), patience) {
        patience += Duration::from_millis(30);
    }
    assert!(records(dir.path()) == records(whole.path()));
}

#[test]
fn killed_before_and_after_allocations_an_adaptive_plan_comes_to_the_same_end() {
    let text = adaptive();
    let whole = study(&text);
    let output = run(whole.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = records(whole.path());
    let again = timed_study(&text, whole.path());
    let begun = Instant::now();
    run(again.path());
    let mut took = begun.elapsed();
    let mut killed = 0;
    for kill in 0..4 {
        let dir = timed_study(&text, whole.path());
        let after = took.mul_f64((f64::from(kill) + 1.5) / 6.0);
        match run_and_kill(dir.path(), after) {
            true => killed += 1,
            false => took = took.min(after),
        }
        let output = run(dir.path());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(records(dir.path()) == expected, "killed after {after:?}");
    }
    assert!(killed > 1, "only {killed} of 4 were killed in time");
}

#[test]
fn killed_between_two_plans_that_it_times_it_keeps_what_it_has() {
    let dir = study(STUDY);
    let mut child = packlight(["run"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("timings.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended without timings");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = Timings::read(dir.path()).unwrap().plans;
    assert_eq!(kept.len(), 1);
    assert!(run(dir.path()).status.success());
    let plans = Timings::read(dir.path()).unwrap().plans;
    assert_eq!((plans.len(), &plans[0]), (2, &kept[0]));
}

/// Starts the study and kills it with -9 after a while; whether it was still running then.
fn run_and_kill(dir: &std::path::Path, after: Duration) -> bool {
    let mut child =
        packlight(["run"]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}
