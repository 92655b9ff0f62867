//! Keeps the invariants of `ARCHITECTURE.md`: what each crate knows nothing of, and that notebooks
//! depend on one library alone.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The crates from the ground up: each depends only on those before it.
const CRATES: [&str; 14] = [
    "packlight-kernels",
    "packlight-cuda-host",
    "packlight-spec",
    "packlight-record",
    "packlight-allocation",
    "packlight-codec",
    "packlight-autograd",
    "packlight-nn",
    "packlight-probe",
    "packlight-study",
    "packlight-figure",
    "packlight-report",
    "packlight",
    "packlight-notebook",
];

/// What a crate, besides, does not depend on, not even through others.
const KNOWS_NOTHING_OF: [(&str, &[&str]); 10] = [
    ("packlight-spec", &["candle-core", "polars", "plotters", "packlight-kernels"]),
    ("packlight-record", &["candle-core", "polars", "plotters", "packlight-kernels"]),
    ("packlight-allocation", &["candle-core", "polars", "plotters", "packlight-kernels"]),
    ("packlight-autograd", &["candle-nn"]),
    ("packlight-nn", &["polars", "plotters"]),
    ("packlight-probe", &["polars", "plotters"]),
    ("packlight-study", &["polars", "plotters"]),
    ("packlight-figure", &["candle-core", "polars", "packlight-record", "packlight-kernels"]),
    ("packlight-report", &["candle-core", "packlight-kernels", "packlight-autograd"]),
    ("packlight-notebook", &["packlight"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names of all packages that a crate is built with, itself left out.
fn dependencies(name: &str) -> Result<BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--package", name])
        .current_dir(root())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let tree = String::from_utf8(output.stdout)?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    Ok(names.filter(|n| !n.is_empty() && *n != name).map(str::to_owned).collect())
}

#[test]
fn every_crate_depends_only_on_those_below_it() -> Result {
    let mut folders: Vec<String> = fs::read_dir(root().join("crates"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    folders.sort();
    let mut known = CRATES.map(str::to_owned);
    known.sort();
    assert_eq!(folders, known, "give a new crate its place in CRATES");

    for (i, name) in CRATES.iter().enumerate() {
        let dependencies = dependencies(name)?;
        for above in &CRATES[i + 1..] {
            assert!(!dependencies.contains(*above), "{name} depends on {above}, which is above it");
        }
    }
    Ok(())
}

#[test]
fn no_crate_depends_on_what_it_knows_nothing_of() -> Result {
    for (name, others) in KNOWS_NOTHING_OF {
        let dependencies = dependencies(name)?;
        for other in others {
            assert!(!dependencies.contains(*other), "{name} depends on {other}");
        }
    }
    Ok(())
}

#[test]
fn kernels_and_figures_depend_on_no_other_crate_of_the_workspace() -> Result {
    for name in ["packlight-kernels", "packlight-figure"] {
        let ours: Vec<String> =
            dependencies(name)?.into_iter().filter(|d| d.starts_with("packlight")).collect();
        assert!(ours.is_empty(), "{name} depends on {ours:?}");
    }
    Ok(())
}

#[test]
fn figures_know_nothing_of_files() -> Result {
    for entry in fs::read_dir(root().join("crates/packlight-figure/src"))? {
        let path = entry?.path();
        assert!(!fs::read_to_string(&path)?.contains("std::fs"), "{} uses std::fs", path.display());
    }
    Ok(())
}

/// The notebooks of the project, parsed, with their names.
fn notebooks() -> Result<Vec<(String, serde_json::Value)>> {
    let mut notebooks = Vec::new();
    for entry in fs::read_dir(root().join("notebooks"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "ipynb") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            notebooks.push((name, serde_json::from_str(&fs::read_to_string(&path)?)?));
        }
    }
    Ok(notebooks)
}

/// The lines of a cell.
fn source(cell: &serde_json::Value) -> String {
    match &cell["source"] {
        serde_json::Value::Array(lines) => lines.iter().filter_map(|line| line.as_str()).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// With candle linked into a cell next to the shared library there would be two counters of tensor
/// numbers, and gradients would go wrong without an error.
#[test]
fn notebooks_depend_on_the_shared_library_alone() -> Result {
    const DEPENDENCY: &str = ":dep packlight-notebook = { path = \"../crates/packlight-notebook\"";
    for (name, notebook) in notebooks()? {
        let code: String = notebook["cells"]
            .as_array()
            .ok_or("a notebook has cells")?
            .iter()
            .filter(|cell| cell["cell_type"] == "code")
            .map(|cell| source(cell) + "\n")
            .collect();
        let found: Vec<&str> =
            code.lines().map(str::trim_start).filter(|line| line.starts_with(":dep")).collect();
        assert!(!found.is_empty(), "{name} does not depend on packlight-notebook");
        for line in found {
            assert!(line.starts_with(DEPENDENCY), "{name}: {line}\nexpected: {DEPENDENCY} }}");
        }
        assert!(!code.contains("extern crate"), "{name} links a crate by itself");
    }
    Ok(())
}

#[test]
fn notebooks_are_kept_without_outputs() -> Result {
    for (name, notebook) in notebooks()? {
        for cell in notebook["cells"].as_array().ok_or("a notebook has cells")? {
            let outputs = cell["outputs"].as_array().map_or(0, Vec::len);
            assert_eq!(outputs, 0, "{name} has outputs: clear them before committing");
            assert!(cell["execution_count"].is_null(), "{name} has been run: clear its outputs");
        }
    }
    Ok(())
}
