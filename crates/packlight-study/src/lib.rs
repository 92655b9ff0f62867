//! Data sets, studies, training runs, checkpoints and resume.
//!
//! [`read_study`] reads a [`Study`] from `study.toml`. [`run_study`] trains each of its plans with
//! each of its seeds and writes a folder of records for each run. A [`Collection`] names several
//! studies, which [`run_collection`] runs one after another. Records depend only on the study, the
//! data and the seed: a run that was killed at any moment and resumed ends with the same bytes as
//! one that was not. [`measure_sensitivity`] measures what each codec does at each layer alone,
//! [`measure_plans`] what whole plans do.
//!
//! This crate draws no charts and needs no terminal: it reports its events to a [`Progress`].

pub mod data;

mod adaptive;
mod bleu;
mod check;
mod checkpoint;
mod claim;
mod device;
mod error;
mod evaluation;
mod forecast;
mod instrument;
mod lock;
mod logs;
mod machine;
mod origin;
mod progress;
mod rivals;
mod run;
mod run_trainer;
mod sensitivity;
mod spec;
mod step;
mod summary;
mod sweep;
mod timing;
mod translation;
mod variant;

pub use bleu::bleu;
pub use checkpoint::CHECKPOINT;
pub use device::{device_note, open_device};
pub use error::{Error, Result};
pub use evaluation::{Evaluation, evaluate};
pub use origin::Origin;
pub(crate) use packlight_spec::hex;
pub use packlight_spec::{NamedPlan, OptimizerSpec, Pretrained, ProbeSpec};
pub use progress::{Event, Progress, Silent};
pub use rivals::{Fit, Rival, find_rivals};
pub use run_trainer::WEIGHTS;
pub use sensitivity::{SensitivitySummary, check_measured, measure_plans, measure_sensitivity};
pub use spec::{Collection, Member, Study, read_study};
pub use summary::{CollectionSummary, Outcome, RunSummary, StudySummary};
pub use sweep::{Options, run_collection, run_study};
pub use translation::translation_bleu;
pub use variant::write_variant;

/// A hash as far as people compare it.
pub(crate) fn shortened(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// That data of this name are not those of the hash `then`.
pub(crate) fn other_data(name: &data::SetName, then: &str, now: &str) -> String {
    let (then, now) = (shortened(then), shortened(now));
    format!("the samples of `{name}` are others: SHA-256 {then} then, {now} now")
}
