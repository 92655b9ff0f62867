//! Same seed, same bytes: what determines the records is the study, the data and the seed, and
//! not the number of threads; `signals.rs` and `kill.rs` interrupt.

#![allow(clippy::unwrap_used)]

mod common;

use common::{STUDY, adaptive, packlight, records, run, stderr, study};

#[test]
fn one_thread_or_two_give_the_same_records() {
    let (one, two) = (study(STUDY), study(STUDY));
    for (dir, threads) in [(&one, "1"), (&two, "2")] {
        let output = packlight(["run", "--threads", threads]).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(records(one.path()) == records(two.path()));
}

#[test]
fn an_adaptive_plan_allocates_alike_on_one_thread_and_on_two() {
    let text = adaptive();
    let (one, two) = (study(&text), study(&text));
    for (dir, threads) in [(&one, "1"), (&two, "2")] {
        let output = packlight(["run", "--threads", threads]).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(records(one.path()) == records(two.path()));
}

#[test]
fn another_seed_gives_other_records() {
    let (seven, eight) = (study(STUDY), study(&STUDY.replace("[7]", "[8]")));
    run(seven.path());
    run(eight.path());
    let read = |dir: &std::path::Path, run: &str| {
        std::fs::read(dir.join("runs").join(run).join("records.jsonl")).unwrap()
    };
    assert!(read(seven.path(), "pool2-seed7") != read(eight.path(), "pool2-seed8"));
}
