//! Measures what each codec at each layer alone does to the gradients, at points of an exact training.
//!
//! Random numbers and batches follow from the seed, and each seed has its own training, so scores do
//! not depend on what was measured before. They are appended to a log in groups of one batch, after
//! which a measurement can be stopped or killed: the next one does what the log lacks.

mod exact_training;
mod horizon;
mod manifest;
mod measurement;
mod plans;
mod sample;
mod score;
mod scores;
mod table;
mod timing;
mod together;
mod trainings;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use packlight_codec::Codec;
use packlight_probe::survey;
use packlight_record::atomic_file;
use packlight_spec::layout::{SENSITIVITY, STUDY, TIMES};
use packlight_spec::{NamedPlan, SensitivitySpec};
use serde::Serialize;

use self::exact_training::ExactTraining;
use self::manifest::Conditions;
use self::measurement::{Group, Measurement};
use self::sample::SETTLING;
pub(crate) use self::sample::{Sample, whole_batch};
pub(crate) use self::score::{On, score, trial};
use self::scores::Scores;
use self::table::Table;
pub(crate) use self::table::{Pair, check_selectors, is_included, pairs_at, saved};
use self::timing::write_times;
use crate::progress::{Event, Progress};
use crate::run::remove;
use crate::run_trainer::RunTrainer;
use crate::spec::{Study, codecs_to_measure, read_study};
use crate::sweep::{Options, Sweep};
use crate::{Error, Result};

pub use self::manifest::check_measured;
pub use self::plans::measure_plans;

/// The outcome of a measurement of single layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SensitivitySummary {
    /// The study's name.
    pub study: String,
    /// The number of scores that its table asks for and that exist.
    pub scores: u64,
    /// How many of them were measured now.
    pub measured: u64,
    /// The number of trainings of a few updates that its `horizon` asks for and that were compared with exact
    /// ones.
    pub losses: u64,
    /// How many of them were trained now.
    pub trained: u64,
    /// The codecs at layers that were not trained with everywhere, since their error is at least
    /// [`HOPELESS`](packlight_record::HOPELESS) or not finite, such as `q1 at layer1.0.bn1`.
    pub hopeless: Vec<String>,
    /// The number of layers that are measured.
    pub layers: usize,
    /// The codecs.
    pub codecs: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// The file with the scores.
    pub file: PathBuf,
}

/// Measures what the `[sensitivity]` table of the study in `folder` asks for: each codec at each layer,
/// all other layers exact.
///
/// For each seed, an exact training goes to each point. There, a pass over each batch tries all codecs
/// that only pack at all conv and linear layers, since they change these layers' own weight gradients
/// alone; every other pair of a layer and a codec takes a pass. With a `horizon`, as many updates with each
/// pair are then compared with exact ones from the same state. What the log has already is not measured
/// again.
///
/// # Errors
/// Returns an error if the study or its data cannot be read, the table does not fit the model, another
/// process works on the study, what is there was measured under other conditions, the training
/// diverges, or a file cannot be written; [`Error::Interrupted`] when asked to stop.
pub fn measure_sensitivity(
    folder: &Path,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<SensitivitySummary> {
    let study = read_study(folder, options.data_dir.as_deref())?;
    let spec = spec_of(&study, folder)?;
    let sweep = Sweep::prepare(folder, String::new(), study, options, progress)?;
    measure(&sweep, spec, options, progress)
}

/// What the study in `folder` asks for.
fn spec_of(study: &Study, folder: &Path) -> Result<SensitivitySpec> {
    let reason = "it has no table `[sensitivity]`, which says what to measure; add one, such as \
                  `[sensitivity]` with `codecs = [\"q8\", \"q2\"]`";
    let missing = || Error::Study { path: folder.join(STUDY), reason: reason.to_owned() };
    study.sensitivity.clone().ok_or_else(missing)
}

/// Measures what `spec` asks for of the study's network.
pub(crate) fn measure(
    sweep: &Sweep,
    spec: SensitivitySpec,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<SensitivitySummary> {
    let begun = Instant::now();
    let codecs = codecs(sweep, &spec)?;
    let exact = NamedPlan::unnamed("none");
    let home = sweep.folder.join(SENSITIVITY);
    if options.overwrite {
        remove(&home)?;
    }
    std::fs::create_dir_all(&home).map_err(|e| Error::io(&home, e))?;
    atomic_file::remove_leftovers(&home)?; // left by a killed process
    Conditions::of(&sweep.study, &sweep.data)?.require(&home, &sweep.data.name)?;

    let trainer = |seed| RunTrainer::new(&sweep.study, &sweep.data, &sweep.model, &exact, seed);
    let first = trainer(sweep.study.seeds[0])?;
    let table = survey_table(sweep, &first, spec, &codecs)?;
    for refusal in &table.refusals {
        progress.event(Event::Warning { text: refusal });
    }
    let scores = Scores::open(&home, &table.facts)?;
    let mut measurement = Measurement::new(&table, scores, options, progress);
    let groups = measurement.groups(&sweep.study.seeds);
    if !groups.is_empty() {
        measurement.forecast(&first, &groups, &home)?;
    }
    if !groups.is_empty() || !home.join(TIMES).is_file() {
        write_times(&home, &first, &table)?;
    }
    drop(first);
    for &seed in &sweep.study.seeds {
        let groups: Vec<&Group> = groups.iter().filter(|group| group.seed == seed).collect();
        if !groups.is_empty() {
            let training = ExactTraining::new(trainer(seed)?, &home);
            measurement.measure_seed(training, &groups)?;
        }
    }
    let seeds = &sweep.study.seeds;
    let lacking: u64 = measurement.groups(seeds).iter().map(|group| group.lacks.len() as u64).sum();
    let (measured, trained) = (measurement.measured, measurement.trained);
    Ok(SensitivitySummary {
        study: sweep.study.name.clone(),
        scores: seeds.len() as u64 * table.scores() - lacking,
        measured,
        losses: measurement.losses(seeds),
        trained,
        hopeless: measurement.hopeless(seeds),
        layers: table.layers(),
        codecs: codecs.iter().map(|codec| codec.spec()).collect(),
        seconds: begun.elapsed().as_secs_f64(),
        file: measurement.scores.path().to_path_buf(),
    })
}

/// Checks, before anything is trained, that what `spec` asks for can be measured.
///
/// # Errors
/// Returns an error as [`measure`] does.
pub(crate) fn check(sweep: &Sweep, spec: SensitivitySpec, options: &Options<'_>) -> Result<()> {
    let Sweep { study, data, model, folder, .. } = sweep;
    if !options.overwrite {
        check_measured(folder, study, Some(data))?;
    }
    let codecs = codecs(sweep, &spec)?;
    let exact = NamedPlan::unnamed("none");
    let trainer = RunTrainer::new(study, data, model, &exact, study.seeds[0])?;
    survey_table(sweep, &trainer, spec, &codecs).map(drop)
}

fn codecs(sweep: &Sweep, spec: &SensitivitySpec) -> Result<Vec<Arc<dyn Codec>>> {
    codecs_to_measure(spec).map_err(|reason| Error::Study {
        path: sweep.folder.join(STUDY),
        reason: format!("sensitivity.codecs: {reason}"),
    })
}

/// Looks at what the network saves, and lays out the table on it.
fn survey_table(
    sweep: &Sweep,
    trainer: &RunTrainer<'_>,
    spec: SensitivitySpec,
    codecs: &[Arc<dyn Codec>],
) -> Result<Table> {
    let sample = Sample::new(trainer, SETTLING)?;
    let parameters = trainer.model.parameters();
    let survey = survey(parameters, &sample.pass, |pass| sample.loss(pass), codecs)?;
    let course = sample.course(&sweep.model)?;
    Table::new(sweep, spec, codecs, survey, &course, trainer.total_steps())
}
