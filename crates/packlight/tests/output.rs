//! What becomes of output that nobody reads or that has no room.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{STUDY, finished_study, packlight, records, stderr, timed_study};

/// A command of every kind, on a study that has been run.
fn commands(dir: &Path) -> Vec<Command> {
    let dir = dir.to_str().unwrap();
    let weights = format!("{dir}/runs/pool2-seed7/weights.safetensors");
    [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["codecs"],
        &["codecs", "--json"],
        &["plans", "--model", "resnet18"],
        &["report", dir],
        &["report", dir, "--json"],
        &["run", dir],
        &["run", dir, "--json"],
        &["eval", "--weights", &weights],
    ]
    .map(packlight)
    .into()
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_reader_that_closes_the_pipe_ends_no_command_with_an_error() {
    let dir = finished_study();
    for mut command in commands(dir.path()) {
        let output = command.stdout(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
    for mut command in commands(dir.path()) {
        let status = command.stdout(Stdio::null()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{command:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_under_standard_output_is_one_line_and_status_1() {
    let dir = finished_study();
    for mut command in commands(dir.path()) {
        let output = command.stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = stderr(&output);
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("packlight: standard output: No space left"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn training_goes_on_when_nobody_reads_its_progress_any_more() {
    let expected = finished_study();
    for read in [0, 2] {
        let dir = timed_study(STUDY, expected.path());
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = packlight(["run"]);
        command.arg(dir.path()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command); // with its ends of the pipe
        let lines: Vec<_> = BufReader::new(reader).lines().take(read).collect(); // and closes it
        assert_eq!(lines.len(), read);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(records(dir.path()) == records(expected.path()));
    }
}

#[test]
fn an_error_that_nobody_can_hear_still_has_its_status() {
    for (arguments, code) in [(&["run", "/no/such/folder"][..], 1), (&["fly"], 2)] {
        for stderr in [closed(), if cfg!(target_os = "linux") { full() } else { closed() }] {
            let status = packlight(arguments).stderr(stderr).status().unwrap();
            assert_eq!(status.code(), Some(code), "{arguments:?}");
        }
    }
}
