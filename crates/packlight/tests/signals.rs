//! What schedulers and terminals send: a study stops with a checkpoint, and goes on from there.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{STUDY, listening, records, run, stderr, study, timed_study};

const CHECKPOINT: &str = "checkpoint.safetensors";

/// The study with enough epochs to be in the middle of.
fn long(epochs: u32) -> String {
    STUDY.replace("epochs = 3", &format!("epochs = {epochs}"))
}

/// Starts `command` on the study in `dir`, and waits until its first run has left the file `sign`.
fn started(mut command: Command, dir: &Path, sign: &str) -> Child {
    let child = command.arg(dir).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let sign = dir.join("runs/pool2-seed7").join(sign);
    while !sign.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn every_signal_to_stop_leaves_a_checkpoint_and_the_same_bytes_in_the_end() {
    let text = long(8);
    let whole = study(&text);
    assert!(run(whole.path()).status.success());
    let expected = records(whole.path());
    for signal in ["-INT", "-TERM", "-HUP"] {
        let dir = timed_study(&text, whole.path());
        let child = started(listening("run"), dir.path(), CHECKPOINT);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal}: {:?}", output.status);
        assert!(stderr(&output).contains("the same command goes on"), "{signal}");
        // Nothing was written after the checkpoint: all steps that were done are in it.
        let log = dir.path().join("runs/pool2-seed7/records.jsonl");
        let kept = std::fs::read(&log).unwrap();
        let output = run(dir.path());
        assert!(output.status.success(), "{signal}: {}", stderr(&output));
        assert!(stderr(&output).contains("resumes at step"), "{signal}: {}", stderr(&output));
        assert!(std::fs::read(&log).unwrap().starts_with(&kept), "{signal}");
        assert!(records(dir.path()) == expected, "{signal}");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    // A step takes so long that both signals arrive within it.
    let large = long(100).replace("width = 4", "width = 24").replace("size = 16", "size = 32");
    let large = large.replace("batch = 32", "batch = 120").replace("whole = true", "");
    let dir = study(&large.replace("mixed = \"layer1.*=none,default=pool4\"", ""));
    let child = started(listening("run"), dir.path(), "records.jsonl");
    send("-TERM", &child);
    send("-HUP", &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{:?}", output.status);
    assert!(
        !stderr(&output).contains("interrupted"),
        "it waited for the step: {}",
        stderr(&output)
    );
}

#[test]
fn a_signal_that_is_ignored_from_the_start_stays_ignored() {
    let dir = study(&long(100_000));
    let script = "trap '' HUP; exec \"$0\" run \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_packlight")]);
    let mut child = started(command, dir.path(), CHECKPOINT);
    send("-HUP", &child);
    let checkpoint = dir.path().join("runs/pool2-seed7").join(CHECKPOINT);
    let saved = || std::fs::metadata(&checkpoint).unwrap().modified().unwrap();
    for _ in 0..3 {
        let before = saved();
        while saved() == before {
            assert!(child.try_wait().unwrap().is_none(), "the signal ended it");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
