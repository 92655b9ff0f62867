//! The names of files and folders in a study's folder and in a run's folder.

/// The study's description.
pub const STUDY: &str = "study.toml";
/// Published tables whose cells are counted, in a folder of their own.
pub const TABLES: &str = "tables.toml";
/// The folder that holds a folder for each run.
pub const RUNS: &str = "runs";
/// The times of a step of each plan, in a study's folder.
pub const TIMINGS: &str = "timings.json";
/// What a run was made from and how far it got.
pub const MANIFEST: &str = "manifest.json";
/// A run's records.
pub const RECORDS: &str = "records.jsonl";
/// A run's measurements.
pub const MEASUREMENTS: &str = "measurements.jsonl";
/// What was measured of single layers, in a study's folder.
pub const SENSITIVITY: &str = "sensitivity";
/// The file in it with the measurements.
pub const SCORES: &str = "scores.jsonl";
/// The file in it with how long the measured choices take.
pub const TIMES: &str = "times.json";
/// What the names of folders begin with that hold studies of a plan beside its rivals, in a study's folder.
pub const VERIFY: &str = "verify-";
/// The file in it with what other methods make of its budget.
pub const RIVALS: &str = "rivals.json";
/// The file in it with what it and its rivals do to whole gradients.
pub const ERRORS: &str = "errors.jsonl";
