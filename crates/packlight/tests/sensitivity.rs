//! `packlight sensitivity`: killed anywhere, and with any number of threads, the same scores.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::{STUDY, json, packlight, stderr, study};

/// A convolution, a norm and a linear layer, codecs that round at random, remember or pass errors on.
fn text() -> String {
    let table = r#"
[sensitivity]
codecs = ["q2", "mesa", "resprop:0.1"]
layers = ["layer2.0.conv1", "layer2.0.bn1", "fc"]
points = ["start", 0.5, "end"]
batches = 3
"#;
    format!("{STUDY}{table}")
}

fn measure(dir: &Path) -> Output {
    packlight(["sensitivity"]).arg(dir).output().unwrap()
}

fn scores(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("sensitivity/scores.jsonl")).unwrap()
}

#[test]
fn killed_at_many_points_it_ends_with_the_same_scores() {
    let whole = study(&text());
    let begun = Instant::now();
    let output = measure(whole.path());
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(" passes and 12 steps of training, about "),
        "{}",
        stderr(&output)
    );
    let expected = scores(whole.path());
    let mut killed = 0;
    for part in 1..=5 {
        let dir = study(&text());
        let mut child = packlight(["sensitivity"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(took.mul_f64(f64::from(part) / 6.0));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let output = measure(dir.path());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(scores(dir.path()) == expected, "killed after {part} sixths");
    }
    assert!(killed > 2, "only {killed} were killed in time");
}

#[test]
fn one_thread_or_two_give_the_same_scores() {
    let (one, two) = (study(&text()), study(&text()));
    for (dir, threads) in [(&one, "1"), (&two, "2")] {
        let output =
            packlight(["sensitivity", "--threads", threads]).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(scores(one.path()) == scores(two.path()));
}

#[test]
#[cfg(unix)]
fn asked_to_stop_it_says_how_to_go_on() {
    let dir = study(&text().replace("batches = 3", "batches = 30"));
    let child = packlight(["sensitivity"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !dir.path().join("sensitivity/scores.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
}

#[test]
fn it_sums_up_as_json() {
    let dir = study(&text().replace("[\"start\", 0.5, \"end\"]", "[\"start\"]"));
    let run = || packlight(["sensitivity", "--json"]).arg(dir.path()).output().unwrap();
    let first = json(&run());
    assert_eq!(first["measured"], first["scores"]);
    assert_eq!(first["layers"], 3);
    assert_eq!(first["codecs"], serde_json::json!(["q2", "mesa", "resprop:0.1"]));
    assert!(first["file"].as_str().unwrap().ends_with("sensitivity/scores.jsonl"));
    assert!(first["seconds"].as_f64().unwrap() > 0.0);
    let again = json(&run());
    assert_eq!((&again["measured"], &again["scores"]), (&serde_json::json!(0), &first["scores"]));
}

#[test]
fn a_collection_is_refused_with_one_of_its_studies() {
    let dir = study("title = \"Two\"\nstudies = [\"one\"]\n");
    std::fs::create_dir(dir.path().join("one")).unwrap();
    std::fs::write(dir.path().join("one/study.toml"), text()).unwrap();
    let output = measure(dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("holds several studies; give the folder of one of them, such as")
    );
}
