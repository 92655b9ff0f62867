//! PyTorch's steps on the same card, as a command of the user's measures them.
//!
//! `PACKLIGHT_TORCH` names the command. It prints a JSON line for each network and precision, with the names of
//! `steps.rs`, and may print other lines:
//!
//! ```json
//! {"network": "resnet50_224", "precision": "f32", "batch": 64, "median_ms": 101.5, "peak_bytes": 5600000000}
//! ```
//!
//! `precision` is `f32`, `tf32` or `bf16`; goals are against the same one. `peak_bytes` are the most above those before
//! the step, or null. What else a line holds is kept for the file of results.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// The variable that names the command.
const VARIABLE: &str = "PACKLIGHT_TORCH";

/// A step of PyTorch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TorchStep {
    pub(crate) network: String,
    pub(crate) precision: String,
    pub(crate) median_ms: f64,
    pub(crate) peak_bytes: Option<f64>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// What the command prints; nothing, with a word, where there is none.
pub(crate) fn measure() -> anyhow::Result<Vec<TorchStep>> {
    let Ok(command) = std::env::var(VARIABLE) else {
        println!("PyTorch: skipped, {VARIABLE} names no command that times its steps");
        return Ok(Vec::new());
    };
    let run = Command::new("sh").args(["-c", &command]).stderr(Stdio::inherit()).output();
    let output = run.with_context(|| format!("{VARIABLE}: {command}"))?;
    ensure!(output.status.success(), "{VARIABLE}: `{command}` failed: {}", output.status);
    let steps = read(&String::from_utf8_lossy(&output.stdout))?;
    ensure!(!steps.is_empty(), "{VARIABLE}: `{command}` printed no JSON line");
    Ok(steps)
}

/// The steps in what a command has printed: each line that begins as a JSON object does.
pub(crate) fn read(printed: &str) -> anyhow::Result<Vec<TorchStep>> {
    let lines = printed.lines().map(str::trim).filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
