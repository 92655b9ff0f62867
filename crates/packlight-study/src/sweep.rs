//! The grid of a study's runs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use packlight_nn::ModelSpec;
use serde::Serialize;

use crate::data::{self, DataSet};
use crate::lock::Lock;
use crate::progress::{Event, Progress};
use crate::run::{Run, Standing, remove, run_name};
use crate::spec::Study;
use crate::trainer::{Ending, Trainer, Watch};
use crate::{Error, Result};

/// The folder within a study's that holds a folder for each run.
pub const RUNS: &str = "runs";

/// How a study is to be run; nothing but the scale changes a record.
#[derive(Debug)]
pub struct Options<'a> {
    /// What every plan's epochs are multiplied by; see [`Study::scaled`].
    pub scale: f64,
    /// Whether runs that exist are removed and done anew.
    pub overwrite: bool,
    /// The folder of data sets that are not built in.
    pub data_dir: Option<PathBuf>,
    /// The threads that the caller has arranged for; noted in the manifests.
    pub threads: usize,
    /// The longest time between two checkpoints within an epoch; each epoch's end has one too.
    pub checkpoint_every: Duration,
    /// Set to stop after the step in progress.
    pub interrupted: &'a AtomicBool,
}

/// What became of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StudySummary {
    /// The study's name.
    pub study: String,
    /// Its runs, in the order in which they were done.
    pub runs: Vec<RunSummary>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name, which is its folder's within [`RUNS`].
    pub run: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its planned end.
    Finished,
    /// It had been finished before and was left as it is.
    AlreadyFinished,
    /// It ended with an error, now or before.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl StudySummary {
    /// Whether any run failed.
    pub fn any_failed(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.outcome, Outcome::Failed { .. }))
    }
}

/// Runs the study in `folder`: each plan with each seed, all plans of a seed before the next seed.
///
/// Finished runs are left as they are and unfinished ones go on, unless they are to be overwritten.
/// A run that fails is recorded as failed, and the others go on.
///
/// # Errors
/// Before anything is trained or changed, if the study or its data cannot be read, a plan does not
/// fit the model, another process runs the study, or a run was begun with another study or other
/// data; later only [`Error::Interrupted`].
pub fn run_study(
    folder: &Path,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<StudySummary> {
    let study = Study::read(folder)?.scaled(options.scale);
    let _lock = Lock::take(folder)?;
    let data = data::load(&study.data, options.data_dir.as_deref())?;
    let model = data.model(&study.model)?;
    let mut runs = grid(folder, &study, &data, &model, options);
    for run in &runs[..study.plans.len()] {
        Trainer::new(&study, &data, &model, run.plan, run.seed)?;
    }
    if options.overwrite {
        runs.iter().try_for_each(|run| remove(&run.folder))?;
    }
    let standings = runs.iter().map(Run::standing).collect::<Result<Vec<_>>>()?;
    forecast(&mut runs, &standings, options, progress)?;

    let mut summaries = Vec::new();
    for (run, standing) in runs.iter().zip(standings) {
        let name = run.name();
        let outcome = match standing {
            Standing::Finished => {
                progress.event(Event::Skipped { run: &name, reason: "it is finished" });
                Outcome::AlreadyFinished
            }
            Standing::Diverged(reason) => {
                progress.event(Event::Skipped { run: &name, reason: &reason });
                Outcome::Failed { reason }
            }
            Standing::New | Standing::Unfinished => {
                let mut watch = Watch {
                    progress: &mut *progress,
                    interrupted: options.interrupted,
                    checkpoint_every: options.checkpoint_every,
                };
                let outcome = match run.train(&mut watch) {
                    Ok(Ending::Finished) => Outcome::Finished,
                    Ok(Ending::Diverged(reason)) => Outcome::Failed { reason },
                    Err(Error::Interrupted) => return Err(Error::Interrupted),
                    Err(error) => Outcome::Failed { reason: error.to_string() },
                };
                progress.event(match &outcome {
                    Outcome::Failed { reason } => Event::Failed { run: &name, reason },
                    _ => Event::Finished { run: &name },
                });
                outcome
            }
        };
        summaries.push(RunSummary { run: name, outcome });
    }
    Ok(StudySummary { study: study.name.clone(), runs: summaries })
}

/// Times a few steps of each plan that has runs to do, and tells how long they will take.
///
/// A plan whose steps fail here counts as nothing: its runs will say what is wrong.
fn forecast(
    runs: &mut [Run<'_>],
    standings: &[Standing],
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let to_do = |index: usize| matches!(standings[index], Standing::New | Standing::Unfinished);
    let mut plans: Vec<usize> =
        (0..runs.len()).filter(|&i| to_do(i)).map(|i| runs[i].plan_index).collect();
    let count = plans.len();
    plans.sort_unstable();
    plans.dedup();
    if plans.is_empty() {
        return Ok(());
    }
    progress.event(Event::Timing { plans: plans.len() });
    for plan in plans {
        if options.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let Run { study, data, model, plan: named, seed, .. } = runs[plan];
        let mut trainer = Trainer::new(study, data, model, named, seed)?;
        let seconds = trainer.forecast().unwrap_or(0.0);
        runs.iter_mut().filter(|run| run.plan_index == plan).for_each(|run| run.seconds = seconds);
    }
    let seconds = (0..runs.len()).filter(|&i| to_do(i)).map(|i| runs[i].seconds).sum();
    progress.event(Event::Forecast { runs: count, seconds });
    Ok(())
}

fn grid<'a>(
    folder: &Path,
    study: &'a Study,
    data: &'a DataSet,
    model: &'a ModelSpec,
    options: &Options<'_>,
) -> Vec<Run<'a>> {
    let cells: Vec<_> = study
        .seeds
        .iter()
        .flat_map(|&seed| study.plans.iter().enumerate().map(move |plan| (seed, plan)))
        .collect();
    let of = cells.len();
    let run = |(index, (seed, (plan_index, plan)))| Run {
        study,
        data,
        model,
        plan_index,
        plan,
        seed,
        threads: options.threads,
        folder: folder.join(RUNS).join(run_name(plan, seed)),
        place: (index + 1, of),
        seconds: 0.0,
    };
    cells.into_iter().enumerate().map(run).collect()
}
