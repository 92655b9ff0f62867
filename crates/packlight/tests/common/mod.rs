//! A tiny study, and the program to run it with.

#![allow(clippy::unwrap_used, dead_code)] // each test uses some of it

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Two runs of twelve steps that take about a second together: convolutions, norms, momentum,
/// augmentation, both kinds of probe, and an epoch that ends with a short batch.
pub(crate) const STUDY: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [7]
epochs = 3
batch = 32
threads = 2

[model]
name = "resnet18"
width = 4

[data]
name = "digits"
size = 16
train_limit = 120
test_limit = 40
augment = { pad = 2, flip = true }

[plans]
pool2 = "pool2"
mixed = "layer1.*=none,default=pool4"

[optimizer]
name = "sgd"
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-4

[schedule]
name = "cosine"
warmup = 0.1

[probe]
every = 5
whole = true
"#;

/// [`STUDY`] with an adaptive plan for the second one: it allocates three times in twelve steps.
pub(crate) fn adaptive() -> String {
    let plan = "\"layer1.*=none,default=pool4\"";
    let adaptive = "{ adaptive = { every = \"5 steps\", budget = \"0.5x\", codecs = [\"mesa\"], \
                    batches = 1, draws = 1 } }";
    STUDY.replace(plan, adaptive)
}

/// The names of the runs of [`STUDY`].
pub(crate) const RUNS: [&str; 2] = ["pool2-seed7", "mixed-seed7"];

/// A folder with a study in it.
pub(crate) fn study(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), text).unwrap();
    dir
}

/// The program with these arguments, not started yet.
pub(crate) fn packlight<S: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packlight"));
    command.args(arguments);
    command
}

/// `packlight COMMAND` with no signal ignored: whoever runs the tests may ignore some, as a shell does for
/// what it runs in the background.
pub(crate) fn listening(command: &str) -> Command {
    let mut listening = Command::new("env");
    listening.args(["--default-signal=INT,TERM,HUP", env!("CARGO_BIN_EXE_packlight"), command]);
    listening
}

/// A folder with a copy of [`STUDY`] that was run to its end, once for all tests of a file.
pub(crate) fn finished_study() -> tempfile::TempDir {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    let finished = RUN.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        let name = format!("{}-finished", program.file_name().unwrap().display());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder); // of the last time
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("study.toml"), STUDY).unwrap();
        let output = run(&folder);
        assert!(output.status.success(), "{}", stderr(&output));
        folder
    });
    let dir = tempfile::tempdir().unwrap();
    copy(finished, dir.path());
    dir
}

/// Copies what is in a folder, and in its folders.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A folder with the study that was run in `whole`, and how long its steps take: nothing is left to time
/// there, which takes longer than the runs.
pub(crate) fn timed_study(text: &str, whole: &Path) -> tempfile::TempDir {
    let dir = study(text);
    std::fs::copy(whole.join("timings.json"), dir.path().join("timings.json")).unwrap();
    dir
}

/// Runs the study in `dir` to its end.
pub(crate) fn run(dir: &Path) -> Output {
    packlight(["run"]).arg(dir).output().unwrap()
}

/// What a process said on standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a process printed, as JSON.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The bytes of the records of all runs of [`STUDY`].
pub(crate) fn records(dir: &Path) -> Vec<Vec<u8>> {
    RUNS.iter()
        .map(|run| std::fs::read(dir.join("runs").join(run).join("records.jsonl")).unwrap())
        .collect()
}

/// The folder that an environment variable names, where it holds `needed`; otherwise says, even
/// where the tests' output is captured, that the test is skipped.
pub(crate) fn folder_from(variable: &str, needed: &[&str]) -> Option<PathBuf> {
    #[allow(clippy::explicit_write)] // what `eprintln` writes is captured
    let skipped = |why: String| {
        writeln!(std::io::stderr(), "skipped: {why}").unwrap();
        None
    };
    let Some(folder) = std::env::var_os(variable).filter(|folder| !folder.is_empty()) else {
        return skipped(format!("{variable} is not set"));
    };
    let folder = PathBuf::from(folder);
    match needed.iter().find(|name| !folder.join(name).exists()) {
        Some(missing) => skipped(format!("{missing} is not in {}", folder.display())),
        None => Some(folder),
    }
}

/// A black and a white PNG image of one pixel.
const BLACK: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\x0aIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82";
const WHITE: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\x0aIDATx\x9cc\xf8\x0f\x00\x01\x01\x01\x00\xb18\xf6\x14\x00\x00\x00\x00IEND\xaeB`\x82";

/// Makes the images of two classes in `folder`: black ones and white ones.
pub(crate) fn images(folder: &Path) {
    for part in ["train", "test"] {
        for (class, image) in [("black", BLACK), ("white", WHITE)] {
            let class = folder.join(part).join(class);
            std::fs::create_dir_all(&class).unwrap();
            for name in ["1.png", "2.png", "3.png", "4.png"] {
                std::fs::write(class.join(name), image).unwrap();
            }
        }
    }
}

/// [`STUDY`] with one plan on the images of [`images`] in the study's folder.
pub(crate) fn study_of_images() -> tempfile::TempDir {
    let data = "name = \"digits\"\nsize = 16\ntrain_limit = 120\ntest_limit = 40";
    let text = STUDY.replace(data, "name = \"folder:images\"\nsize = 16");
    let dir = study(&text.replace("batch = 32", "batch = 8").replace("mixed = ", "# "));
    images(&dir.path().join("images"));
    dir
}
