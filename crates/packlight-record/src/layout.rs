//! The names of files and folders in a study's folder and in a run's folder.

/// The study's description.
pub const STUDY: &str = "study.toml";
/// The folder that holds a folder for each run.
pub const RUNS: &str = "runs";
/// A run's [`Manifest`](crate::Manifest).
pub const MANIFEST: &str = "manifest.json";
/// A run's [`Record`](crate::Record)s.
pub const RECORDS: &str = "records.jsonl";
/// A run's [`Measurement`](crate::Measurement)s.
pub const MEASUREMENTS: &str = "measurements.jsonl";
