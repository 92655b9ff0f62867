//! The names of files and folders in a study's folder and in the folder of a run.

/// The study's description.
pub const STUDY: &str = "study.toml";
/// The folder that holds a folder for each run.
pub const RUNS: &str = "runs";
/// What a run was made from and how far it got.
pub const MANIFEST: &str = "manifest.json";
/// A run's records.
pub const RECORDS: &str = "records.jsonl";
/// A run's measurements.
pub const MEASUREMENTS: &str = "measurements.jsonl";
