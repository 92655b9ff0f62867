//! What whole plans do to the gradients, on batches that no score was measured on.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use packlight_nn::Plan;
use packlight_probe::survey;
use packlight_record::{Appender, PlanError, PlanFacts, PlanRecord, read_log};
use packlight_spec::layout::{SENSITIVITY, STUDY};
use packlight_spec::{NamedPlan, Point, SensitivitySpec};
use sha2::Sha256;

use super::exact_training::ExactTraining;
use super::manifest::Conditions;
use super::sample::{SETTLING, Sample, weights_digest};
use super::spec_of;
use crate::logs::reopened;
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;
use crate::spec::{codecs_to_measure, read_study};
use crate::sweep::{Options, Sweep};
use crate::{Error, Result};

/// The fewest passes that tell bias from variance.
const FEWEST_DRAWS: u64 = 2;

/// Measures what `plans`, which follow from the scores of the study in `folder`, do to the gradients of all
/// parameters, each with all of its codecs together, and appends it to the log at `path`. What stands there
/// is not measured again.
///
/// Points, seeds and numbers of batches and draws are those of the `[sensitivity]` table, with two draws at
/// least, but the batches are the ones that follow those of the scores: plans were chosen by the scores, so on
/// these batches their errors would look smaller than they are. All plans see the same batches and weights.
///
/// # Errors
/// Returns an error as [`measure_sensitivity`](crate::measure_sensitivity) does, or if a plan does not fit
/// the network.
pub fn measure_plans(
    folder: &Path,
    plans: &[PlanFacts],
    path: &Path,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let study = read_study(folder, options.data_dir.as_deref())?;
    let spec = spec_of(&study, folder)?;
    let sweep = Sweep::prepare(folder, String::new(), study, options, progress)?;
    let exact = NamedPlan::unnamed("none");
    let home = sweep.folder.join(SENSITIVITY);
    Conditions::of(&sweep.study, &sweep.data)?.require(&home, &sweep.data.name)?;
    let mut specs: Vec<&PlanFacts> = Vec::new();
    for facts in plans {
        if specs.iter().all(|other| other.spec != facts.spec) {
            specs.push(facts);
        }
    }
    let parse = |facts: &PlanFacts| {
        let invalid = |e: packlight_nn::Error| Error::Study {
            path: folder.join(STUDY),
            reason: format!("plans.{}: {e}", facts.plan),
        };
        Ok((facts.spec.clone(), Plan::parse(&facts.spec).map_err(invalid)?))
    };
    let batches = spec.batches..2 * spec.batches;
    // What stands there of batches that scores now use, or of other points and seeds, counts no longer.
    let asked = |error: &PlanError| {
        batches.contains(&error.batch)
            && spec.points.contains(&error.point)
            && sweep.study.seeds.contains(&error.seed)
    };
    let log = Log::open(path, plans, asked)?;
    let mut comparison = Comparison {
        plans: specs.into_iter().map(parse).collect::<Result<_>>()?,
        draws: spec.draws.max(FEWEST_DRAWS),
        batches,
        remembering: Vec::new(),
        log,
        options,
        done: (0, 0),
        progress,
    };
    let trainer = |seed| RunTrainer::new(&sweep.study, &sweep.data, &sweep.model, &exact, seed);
    let seeds = &sweep.study.seeds;
    let samples = seeds.len() * spec.points.len() * spec.batches as usize;
    comparison.done.1 = samples * comparison.plans.len();
    comparison.forecast(&trainer(seeds[0])?, samples as u64)?;
    for &seed in seeds {
        let training = ExactTraining::new(trainer(seed)?, &home);
        comparison.with_seed(seed, training, &spec)?;
    }
    Ok(())
}

/// Plans that are compared on the same batches.
struct Comparison<'a> {
    /// As they are written, and parsed.
    plans: Vec<(String, Plan)>,
    draws: u64,
    batches: std::ops::Range<u64>,
    /// The codecs that see a batch first.
    remembering: Vec<String>,
    log: Log,
    options: &'a Options<'a>,
    /// How many of how many errors are measured.
    done: (usize, usize),
    progress: &'a mut dyn Progress,
}

impl Comparison<'_> {
    /// Says how much there is to do on so many batches, by a pass that is timed.
    fn forecast(&mut self, trainer: &RunTrainer<'_>, samples: u64) -> Result<()> {
        let there = |(spec, _): &(String, Plan)| self.log.count(self.draws, spec);
        let done: u64 = self.plans.iter().map(there).sum();
        let scores = (samples * self.plans.len() as u64).saturating_sub(done);
        if scores > 0 {
            let sample = Sample::new(trainer, SETTLING)?;
            let begun = Instant::now();
            sample.one_on(&[])?;
            let pass = begun.elapsed().as_secs_f64();
            let passes = scores * self.draws + samples;
            let seconds = passes as f64 * pass;
            self.progress.event(Event::ToMeasure { scores, passes, steps: 0, seconds });
        }
        Ok(())
    }

    fn with_seed(
        &mut self,
        seed: u64,
        mut training: ExactTraining<'_>,
        spec: &SensitivitySpec,
    ) -> Result<()> {
        let total = training.trainer.total_steps();
        let steps: Vec<u64> = spec.points.iter().map(|point| point.step(total)).collect();
        self.remembering = remembering(&training.trainer, spec)?;
        for (&point, &step) in spec.points.iter().zip(&steps) {
            let (done, of) = self.done;
            let progress = &mut *self.progress;
            training.reach(step, &steps, self.options, |at| {
                let now = format!("seed {seed}, training to {point}: step {at} of {step}");
                progress.event(Event::Measuring { now: &now, done: done as f64 / of as f64 });
            })?;
            let weights = weights_digest(&training.trainer)?;
            for batch in self.batches.clone() {
                if self.options.interrupted.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                self.on_batch(&training.trainer, (point, seed, batch), &weights)?;
            }
        }
        Ok(())
    }

    /// Measures what the log lacks of a batch.
    fn on_batch(
        &mut self,
        trainer: &RunTrainer<'_>,
        (point, seed, batch): (Point, u64, u64),
        weights: &Sha256,
    ) -> Result<()> {
        let sample = Sample::new(trainer, SETTLING + 1 + batch)?;
        let state = sample.digest(weights.clone());
        let draws = self.draws;
        let lacks = |(spec, _): &&(String, Plan)| !self.log.has(&state, draws, spec);
        let lacking: Vec<&(String, Plan)> = self.plans.iter().filter(lacks).collect();
        self.done.0 += self.plans.len() - lacking.len();
        if lacking.is_empty() {
            return Ok(());
        }
        let (exact, _) = sample.one_on(&[])?;
        let mut found = Vec::new();
        for (spec, plan) in lacking {
            let settle = || settle(trainer, &self.remembering);
            let errors = exact.planned::<Error>(plan, settle, draws)?;
            let place = format!("whole plans: seed {seed}, {point}, batch {batch}");
            if errors.squared_error.is_finite() {
                found.push(PlanError {
                    state: state.clone(),
                    point,
                    seed,
                    batch,
                    draws,
                    spec: spec.clone(),
                    squared_error: errors.squared_error,
                    squared_bias: errors.squared_bias,
                    whole_norm: exact.norm(),
                });
            } else {
                let text = format!("{place}: the gradient of `{spec}` is not finite");
                self.progress.event(Event::Warning { text: &text });
            }
            self.done.0 += 1;
            let done = self.done.0 as f64 / self.done.1 as f64;
            self.progress.event(Event::Measuring { now: &place, done });
        }
        self.log.append(found)
    }
}

/// Lets the codecs that the layers have see a batch, where any of them remembers.
fn settle(trainer: &RunTrainer<'_>, remembering: &[String]) -> Result<()> {
    let remembers = |codec: String| remembering.contains(&codec);
    if trainer.model.save_points().iter().any(|layer| remembers(layer.codec().spec())) {
        let sample = Sample::new(trainer, SETTLING)?;
        sample.loss(&sample.pass.clone().settle_codecs())?.backward()?;
    }
    Ok(())
}

/// The codecs of a table that remember something of a batch at any layer.
fn remembering(trainer: &RunTrainer<'_>, spec: &SensitivitySpec) -> Result<Vec<String>> {
    let invalid = |reason| Error::Study { path: STUDY.into(), reason };
    let codecs = codecs_to_measure(spec).map_err(invalid)?;
    let sample = Sample::new(trainer, SETTLING)?;
    let parameters = trainer.model.parameters();
    let survey = survey(parameters, &sample.pass, |pass| sample.loss(pass), &codecs)?;
    let remembers = |at: usize| {
        let mut packings = survey.layers.iter().filter_map(|layer| layer.codecs[at].as_ref().ok());
        packings.any(|packing| packing.remembers)
    };
    let codecs = codecs.iter().enumerate();
    let remembering = codecs.filter(|(at, codec)| remembers(*at) || codec.gradients().is_some());
    Ok(remembering.map(|(_, codec)| codec.spec()).collect())
}

/// The log of what was measured of whole plans.
struct Log {
    log: Appender,
    measured: Vec<PlanError>,
}

impl Log {
    /// Opens the log at `path`, with these plans at its beginning and of the errors those that are asked for.
    fn open(path: &Path, plans: &[PlanFacts], asked: impl Fn(&PlanError) -> bool) -> Result<Self> {
        let found = read_log::<PlanRecord>(path)?;
        let (mut then, mut measured) = (Vec::new(), Vec::new());
        for record in found.values {
            match record {
                PlanRecord::Plan(facts) => then.push(facts),
                PlanRecord::Error(error) => measured.push(error),
            }
        }
        let all = measured.len();
        measured.retain(asked);
        let anew = found.torn || then != plans || measured.len() < all;
        let plans = plans.iter().cloned().map(PlanRecord::Plan);
        let errors = measured.iter().cloned().map(PlanRecord::Error);
        Ok(Self { log: reopened(path, anew, plans.chain(errors))?, measured })
    }

    /// Whether so many draws of a plan in this state stand there.
    fn has(&self, state: &str, draws: u64, spec: &str) -> bool {
        let is = |e: &PlanError| (&*e.state, e.draws, &*e.spec) == (state, draws, spec);
        self.measured.iter().any(is)
    }

    /// The number of batches on which so many draws of a plan were measured.
    fn count(&self, draws: u64, spec: &str) -> u64 {
        let is = |e: &&PlanError| (e.draws, &*e.spec) == (draws, spec);
        self.measured.iter().filter(is).count() as u64
    }

    fn append(&mut self, errors: Vec<PlanError>) -> Result<()> {
        for error in errors {
            self.log.append(&PlanRecord::Error(error.clone()))?;
            self.measured.push(error);
        }
        self.log.sync()?;
        Ok(())
    }
}
