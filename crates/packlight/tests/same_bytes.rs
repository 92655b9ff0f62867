//! Same seed, same bytes: what determines the records is the study, the data and the seed, and
//! neither the number of threads nor an interruption.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{STUDY, packlight, records, run, stderr, study};

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
fn another_seed_gives_other_records() {
    let (seven, eight) = (study(STUDY), study(&STUDY.replace("[7]", "[8]")));
    run(seven.path());
    run(eight.path());
    let read = |dir: &std::path::Path, run: &str| {
        std::fs::read(dir.join("runs").join(run).join("records.jsonl")).unwrap()
    };
    assert!(read(seven.path(), "pool2-seed7") != read(eight.path(), "pool2-seed8"));
}

#[test]
#[cfg(unix)]
fn interrupted_it_says_how_to_go_on_and_ends_with_the_same_records() {
    // Long enough that a busy machine does not deliver the signal after the last step.
    let long = STUDY.replace("epochs = 3", "epochs = 12");
    let whole = study(&long);
    run(whole.path());
    let dir = study(&long);
    let child = packlight(["run"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !dir.path().join("runs").join(common::RUNS[0]).join("manifest.json").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
    assert!(run(dir.path()).status.success());
    assert!(records(dir.path()) == records(whole.path()));
}
