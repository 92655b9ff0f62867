//! Runs all plans and seeds of a study, or of several studies one after another.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use packlight_nn::ModelSpec;
use packlight_record::Timings;
use packlight_spec::layout::{RUNS, STUDY};
use packlight_spec::{DeviceSpec, run_name};

use crate::data::{self, DataSet};
use crate::device::device_note;
use crate::forecast::Forecast;
use crate::lock::Lock;
use crate::progress::{Event, Progress};
use crate::run::{Run, Standing, remove};
use crate::run_trainer::{Ending, RunTrainer, Watch};
use crate::sensitivity::{self, SensitivitySummary};
use crate::spec::{Collection, Member, Study, read_study};
use crate::summary::{CollectionSummary, Outcome, RunSummary, StudySummary};
use crate::{Error, Result};

/// How to run a study. Only the scale and the device change its records.
#[derive(Debug)]
pub struct Options<'a> {
    /// The factor on the epochs of every plan; see [`Study::scaled`].
    pub scale: f64,
    /// Whether to remove existing runs and start them again.
    pub overwrite: bool,
    /// The folder with the data sets that are not built in, and perhaps the weights to start from.
    pub data_dir: Option<PathBuf>,
    /// Where to compute, if not where the study says.
    pub device: Option<DeviceSpec>,
    /// The number of threads that the caller has set up; it is written to the manifests.
    pub threads: usize,
    /// The longest time between two checkpoints within an epoch. There is one at the end of each
    /// epoch too.
    pub checkpoint_every: Duration,
    /// When this is set, the study stops after the current step.
    pub interrupted: &'a AtomicBool,
}

/// The study as it is written, on one thread, with a checkpoint every 20 seconds; nothing stops it.
impl Default for Options<'static> {
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self {
            scale: 1.0,
            overwrite: false,
            data_dir: None,
            device: None,
            threads: 1,
            checkpoint_every: Duration::from_secs(20),
            interrupted: &NEVER,
        }
    }
}

/// Runs the study in `folder`: each plan with each seed, and all plans of a seed before the next
/// seed. Afterwards it times a step of each plan beside the exact plan's (see
/// [`Timings`](packlight_record::Timings)) and measures single layers, if the study asks for that, as
/// [`measure_sensitivity`](crate::measure_sensitivity) does.
///
/// Skips finished runs and resumes unfinished ones, unless `options` says to overwrite them. A run
/// that fails is recorded as failed, and the others continue.
///
/// # Errors
/// Returns an error, before it times or changes anything, if the study or its data cannot be read,
/// a plan does not fit the model or its batches, another process runs the study, or a run was
/// started with another study or other data. After that, returns only [`Error::Interrupted`], or why
/// single layers cannot be measured.
pub fn run_study(
    folder: &Path,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<StudySummary> {
    let study = read_study(folder, options.data_dir.as_deref())?;
    let sweep = Sweep::prepare(folder, String::new(), study, options, progress)?;
    sweep.check(options, progress)?;
    let runs = run_all(std::slice::from_ref(&sweep), options, progress)?;
    let sensitivity = sweep.measure(options, progress)?;
    Ok(StudySummary { study: sweep.study.name.clone(), runs, sensitivity })
}

/// Runs the studies of the collection in `folder` one after another, each as [`run_study`] does.
/// Before the first one, it estimates how long all of them will take.
///
/// # Errors
/// Returns an error as [`run_study`] does, before it times or changes anything, if any of the
/// studies is at fault.
pub fn run_collection(
    folder: &Path,
    collection: Collection,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<CollectionSummary> {
    let of = |name: &str, source| Error::Member { study: name.into(), source: Box::new(source) };
    let names: Vec<String> = collection.members.iter().map(|member| member.name.clone()).collect();
    let prepare = |Member { name, study }| {
        let prefix = format!("{name}/");
        Sweep::prepare(&folder.join(&name), prefix, study, options, progress)
            .map_err(|e| of(&name, e))
    };
    let sweeps = collection.members.into_iter().map(prepare).collect::<Result<Vec<_>>>()?;
    for (sweep, name) in sweeps.iter().zip(&names) {
        sweep.check(options, progress).map_err(|e| of(name, e))?;
    }
    let mut runs = run_all(&sweeps, options, progress)?.into_iter();
    let mut studies = Vec::new();
    for (sweep, name) in sweeps.iter().zip(&names) {
        studies.push(StudySummary {
            study: sweep.study.name.clone(),
            runs: runs.by_ref().take(sweep.size()).collect(),
            sensitivity: sweep.measure(options, progress).map_err(|e| of(name, e))?,
        });
    }
    Ok(CollectionSummary { title: collection.title, studies })
}

/// A study with everything that its runs need. It holds the study's lock.
pub(crate) struct Sweep {
    pub(crate) folder: PathBuf,
    /// The prefix of its runs' names, which is not empty if other studies run too.
    prefix: String,
    pub(crate) study: Study,
    pub(crate) data: DataSet,
    pub(crate) model: ModelSpec,
    _lock: Lock,
}

impl Sweep {
    /// Measures single layers, if the study asks for that.
    fn measure(
        &self,
        options: &Options<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Option<SensitivitySummary>> {
        let spec = self.study.sensitivity.clone();
        spec.map(|spec| sensitivity::measure(self, spec, options, progress)).transpose()
    }

    /// Reads the data and checks that every plan fits the model.
    pub(crate) fn prepare(
        folder: &Path,
        prefix: String,
        study: Study,
        options: &Options<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let mut study = study.scaled(options.scale)?;
        study.device = options.device.unwrap_or(study.device);
        let lock = Lock::take(folder)?;
        Timings::read(folder)?; // an unreadable file is reported before hours of training
        for text in [lock.warning(), device_note(study.device)].into_iter().flatten() {
            progress.event(Event::Warning { text: &text });
        }
        let data = data::load(&study.data, options.data_dir.as_deref())?;
        let model = data.model(&study.model)?;
        if data.train.len() < study.batch {
            let (batch, samples) = (study.batch, data.train.len());
            let reason = format!(
                "batch: {batch} given, and {} has {samples} training samples; lower `batch` to at \
                 most {samples}",
                data.name
            );
            return Err(Error::Study { path: folder.join(STUDY), reason });
        }
        for plan in &study.plans {
            RunTrainer::new(&study, &data, &model, plan, study.seeds[0])?;
        }
        Ok(Self { folder: folder.to_path_buf(), prefix, study, data, model, _lock: lock })
    }

    /// Checks that every plan with unfinished runs can train on these data, and that single layers can be measured
    /// as the study asks for.
    fn check(&self, options: &Options<'_>, progress: &mut dyn Progress) -> Result<()> {
        let mut checked = Vec::new();
        for run in self.runs(options) {
            let to_do = options.overwrite || run.standing()?.is_to_do();
            if !to_do || checked.contains(&run.plan_index) {
                continue;
            }
            if options.interrupted.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            progress.event(Event::Checking { plan: &self.label(&run.plan.name) });
            let trainer = run.trainer()?;
            trainer.check(&run.plan.name)?;
            if let Some(text) = self.study.probe.warning(trainer.total_steps()) {
                let text = format!("plan `{}`: probe.{text}", self.label(&run.plan.name));
                progress.event(Event::Warning { text: &text });
            }
            checked.push(run.plan_index);
        }
        let spec = self.study.sensitivity.clone();
        spec.map_or(Ok(()), |spec| sensitivity::check(self, spec, options))
    }

    /// The name of a plan or a run in messages.
    pub(crate) fn label(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The number of runs.
    fn size(&self) -> usize {
        self.study.seeds.len() * self.study.plans.len()
    }

    /// The runs, all plans of a seed before the next seed; the caller numbers them.
    fn runs(&self, options: &Options<'_>) -> Vec<Run<'_>> {
        let of_seed = |&seed| {
            self.study.plans.iter().enumerate().map(move |(plan_index, plan)| Run {
                study: &self.study,
                data: &self.data,
                model: &self.model,
                plan_index,
                plan,
                seed,
                scale: options.scale,
                threads: options.threads,
                folder: self.folder.join(RUNS).join(run_name(&plan.name, seed)),
                label: self.label(&run_name(&plan.name, seed)),
                place: (0, 0),
                seconds: 0.0,
            })
        };
        self.study.seeds.iter().flat_map(of_seed).collect()
    }
}

/// Runs all runs of all studies, and returns the outcome of each, by study.
fn run_all(
    sweeps: &[Sweep],
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<Vec<RunSummary>> {
    let mut runs: Vec<Run<'_>> = sweeps.iter().flat_map(|sweep| sweep.runs(options)).collect();
    let of = runs.len();
    runs.iter_mut().zip(1..).for_each(|(run, number)| run.place = (number, of));
    if options.overwrite {
        runs.iter().try_for_each(|run| remove(&run.folder))?;
    }
    let standings = runs.iter().map(Run::standing).collect::<Result<Vec<_>>>()?;
    forecast(&mut runs, &standings, options, progress)?;

    let mut summaries = Vec::new();
    for (run, standing) in runs.iter().zip(standings) {
        let outcome = conclude(run, standing, options, progress)?;
        summaries.push(RunSummary { run: run.name(), outcome });
    }
    sweeps.iter().try_for_each(|sweep| sweep.time(options, progress))?;
    Ok(summaries)
}

/// Trains one run to its end, unless it has already got there.
fn conclude(
    run: &Run<'_>,
    standing: Standing,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<Outcome> {
    let name = &run.label;
    match standing {
        Standing::Finished => {
            progress.event(Event::Skipped { run: name, reason: "it is finished" });
            return Ok(Outcome::AlreadyFinished);
        }
        Standing::Damaged(reason) => {
            progress.event(Event::Skipped { run: name, reason: &reason });
            return Ok(Outcome::Failed { reason });
        }
        Standing::Diverged(reason) => {
            let reason = match run.note_failure(&reason) {
                Ok(()) => reason,
                Err(error) => error.to_string(),
            };
            progress.event(Event::Skipped { run: name, reason: &reason });
            return Ok(Outcome::Failed { reason });
        }
        Standing::New | Standing::Unfinished => {}
    }
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
        Outcome::Failed { reason } => Event::Failed { run: name, reason },
        _ => Event::Finished { run: name },
    });
    Ok(outcome)
}

/// Times a few steps of each plan with unfinished runs, and reports how long they will take.
///
/// A plan whose steps fail here is left out of the sum: its runs will report the error.
fn forecast(
    runs: &mut [Run<'_>],
    standings: &[Standing],
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let to_do: Vec<usize> = (0..runs.len()).filter(|&i| standings[i].is_to_do()).collect();
    let mut first_of_plans: Vec<usize> = Vec::new();
    for &run in &to_do {
        if first_of_plans.iter().all(|&first| !runs[first].same_plan(&runs[run])) {
            first_of_plans.push(run);
        }
    }
    if to_do.is_empty() {
        return Ok(());
    }
    let of = first_of_plans.len();
    let mut left = 0.0;
    for (first, number) in first_of_plans.into_iter().zip(1..) {
        if options.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        progress.event(Event::Forecasting { number, of });
        let mut trainer = runs[first].trainer()?;
        let Forecast { seconds, measuring } = trainer.forecast().unwrap_or_default();
        if let Some(adaptive) = &trainer.adaptive {
            let (plan, times) = (&*trainer.plan.name, trainer.allocations());
            let (passes, share) = (adaptive.passes(), measuring / seconds);
            progress.event(Event::Adapting { plan, times, passes, seconds: measuring, share });
        }
        let steps = trainer.total_steps().max(1) as f64;
        drop(trainer);
        for &run in &to_do {
            if runs[first].same_plan(&runs[run]) {
                runs[run].seconds = seconds;
                let done = match standings[run] {
                    Standing::Unfinished => runs[run].step() as f64 / steps,
                    _ => 0.0,
                };
                left += seconds * (1.0 - done);
            }
        }
    }
    progress.event(Event::Forecast { runs: to_do.len(), seconds: left });
    Ok(())
}
