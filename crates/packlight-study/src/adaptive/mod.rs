//! Adaptive plans: before some steps of a training, single layers are measured, and each gets a codec so
//! that the gradient is disturbed least within a budget of bytes.
//!
//! What a codec keeps is known from shapes, as the most that it can be; so a budget holds in every step,
//! whatever the data are, and one that cannot hold is refused before training. What a codec does to the
//! gradient is measured in exact passes. These have to keep within the budget, too, so they go through a
//! batch in parts. Their batches come after those of the training, in an order of their own, so that they
//! use none of its random numbers, and they change nothing that the training goes on with.

mod candidates;
mod measurement;
mod shapes;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use packlight_allocation::{Allocation, Error as Unallocated, Measured, Objective};
use packlight_nn::Plan;
use packlight_record::{AllocatedLayer, Measurement, Record};
use packlight_spec::{Adaptation, Precision};

use self::candidates::Candidates;
use self::shapes::{Shapes, exact_bytes, measuring_bytes};
use crate::progress::Progress;
use crate::run_trainer::{RunTrainer, steps_per_epoch};
use crate::sensitivity::check_selectors;
use crate::spec::codecs_to_measure;
use crate::{Error, Result};

/// An adaptive plan in a training.
pub(crate) struct Adaptive {
    /// The steps from one allocation to the next.
    every: u64,
    /// The most bytes that any step keeps.
    budget: u64,
    /// What a step keeps with every layer exact.
    exact_bytes: u64,
    batches: u64,
    draws: u64,
    /// The samples of a whole batch, the most on which an exact pass keeps within the budget, and the fewest
    /// that the network takes.
    batch: usize,
    part: usize,
    fewest: usize,
    shapes: Shapes,
    candidates: Candidates,
    /// The present codecs, as a plan.
    pub(crate) plan: String,
    /// The step before which they were found.
    since: Option<u64>,
}

/// What came of an allocation.
pub(crate) struct Reallocated {
    pub(crate) record: Record,
    pub(crate) measurement: Measurement,
    pub(crate) seconds: f64,
}

impl Adaptive {
    /// An adaptive plan in the training of `trainer`, whose layers are exact. Its first codecs are those that
    /// keep the fewest bytes.
    ///
    /// # Errors
    /// Returns an error if no codec can pack anything, or if the budget is too small; it then names the least
    /// that is not.
    fn new(trainer: &RunTrainer<'_>, adaptation: &Adaptation) -> Result<Self> {
        let refused = |reason: String| trainer.plan_refused(format!("adaptive.{reason}"));
        let Adaptation { every, budget, measures } = adaptation;
        if trainer.study.precision != Precision::F32 {
            let reason =
                "budget: what layers keep in bf16 is not known beforehand; leave `precision` out";
            return Err(refused(reason.to_owned()));
        }
        let codecs =
            codecs_to_measure(measures).map_err(|reason| refused(format!("codecs: {reason}")))?;
        let shapes = Shapes::of(trainer)?;
        let batch = trainer.study.batch.min(trainer.data.train.len());
        let last = Some(trainer.data.train.len() % batch);
        let last = last.filter(|&last| last > 0 && !trainer.study.drop_last);
        let mut surveys = vec![shapes.survey(batch, &codecs)?];
        for (key, selectors) in [("layers", &measures.layers), ("except", &measures.except)] {
            let of_table = |reason| trainer.plan_refused(format!("[sensitivity] {key}: {reason}"));
            check_selectors(selectors, &surveys[0].layers).map_err(of_table)?;
        }
        surveys.extend(last.and_then(|last| shapes.survey(last, &codecs).ok())); // `check` tells why not
        let exact_bytes = exact_bytes(&surveys[0]);
        let bytes = budget.bytes(exact_bytes);
        let too_small = |least: u64, what: &str| {
            // Rounded up, so that what is printed is enough.
            let up = |value: f64, digits: f64| (value * digits).ceil() / digits;
            let share = up(least as f64 / exact_bytes.max(1) as f64, 1e3);
            refused(format!(
                "budget: {budget} given, which is {bytes} B here, and the least that is possible is {least} B \
                 ({:.2} MiB, {share:.3}x): {what}",
                up(least as f64 / f64::from(1 << 20), 1e2)
            ))
        };
        let measuring =
            |samples| -> Result<u64> { Ok(measuring_bytes(&shapes.survey(samples, &codecs)?)) };
        // A batch norm takes no single value of a channel.
        let (fewest, least_measuring) = match measuring(1) {
            Ok(least) => (1, least),
            Err(_) => (2, measuring(2)?),
        };
        let part = largest(batch, |samples| -> Result<bool> {
            Ok(samples < fewest || measuring(samples)? <= bytes)
        })?;

        let seen = trainer.survey(part.max(fewest), &codecs)?;
        let candidates = Candidates::new(measures, &codecs, &surveys, &seen);
        let by_bytes = candidates.by_bytes_alone();
        let by_bytes = by_bytes.map_err(|_| {
            let reason = "none of them can pack what a layer saves; choose others";
            refused(format!("codecs: {reason}"))
        })?;
        let mut adaptive = Self {
            every: every.steps(steps_per_epoch(trainer.study, trainer.data)),
            budget: bytes,
            exact_bytes,
            batches: measures.batches,
            draws: measures.draws,
            batch,
            part,
            fewest,
            shapes,
            candidates,
            plan: String::new(),
            since: None,
        };
        match adaptive.allocate(&by_bytes)? {
            Err(least) if least >= least_measuring => {
                let what = "masks, statistics and the cheapest codec of each layer take as much";
                Err(too_small(least, what))
            }
            _ if part < fewest => {
                let what =
                    "what it measures with, an exact pass over a sample or two, takes as much";
                Err(too_small(least_measuring, what))
            }
            Err(least) => Err(too_small(least, "the cheapest codec of each layer takes as much")),
            Ok((_, plan, _)) => {
                adaptive.plan = plan;
                Ok(adaptive)
            }
        }
    }

    /// The allocation of least error that keeps within the budget, as a plan, too, and with its bytes; or the
    /// least budget within which there is one.
    fn allocate(
        &self,
        measured: &Measured,
    ) -> Result<std::result::Result<(Allocation, String, u64), u64>> {
        let allocate = |within| measured.allocate(within, Objective::Sum);
        let mut within = self.budget;
        loop {
            let (found, is_least) = match allocate(within) {
                Err(Unallocated::TooSmall { least, .. }) => (allocate(least), true),
                found => (found, false),
            };
            let allocation = found.map_err(Error::Allocation)?;
            let plan = measured.plan(&allocation);
            let kept = self.shapes.most_kept(&Plan::parse(&plan)?, self.batch)?;
            // A step may keep a little more than layers one by one, which share other copies.
            match kept.checked_sub(self.budget) {
                None | Some(0) => return Ok(Ok((allocation, plan, kept))),
                Some(_) if is_least => return Ok(Err(kept)),
                Some(over) => within = within.saturating_sub(over),
            }
        }
    }

    /// The number of parts of all batches of a measurement.
    fn parts(&self) -> u64 {
        let parts = self.batch / self.part + usize::from(self.batch % self.part >= self.fewest);
        self.batches * parts as u64
    }

    /// The forward and backward passes of a measurement.
    pub(crate) fn passes(&self) -> u64 {
        let parts = self.parts();
        let alone = |number| {
            let all = self.candidates.all.iter();
            let alone = all.filter(|one| one.is_alone() && one.is_measured_on(number, parts));
            alone.count() as u64 * self.draws
        };
        (0..parts).map(|number| 1 + alone(number)).sum()
    }
}

impl RunTrainer<'_> {
    /// Makes the plan an adaptive one.
    ///
    /// # Errors
    /// Returns an error if the network cannot be trained within the budget.
    pub(crate) fn adapt(&mut self, adaptation: &Adaptation) -> Result<()> {
        let adaptive = Adaptive::new(self, adaptation)?;
        let plan = adaptive.plan.clone();
        self.adaptive = Some(adaptive);
        self.use_codecs(&plan)
    }

    /// Gives each layer the codec of `plan`. The codec state of a layer starts anew if its codec changes.
    ///
    /// # Errors
    /// Returns an error if the plan does not fit the network.
    pub(crate) fn use_codecs(&mut self, plan: &str) -> Result<()> {
        Plan::parse(plan)?.apply(self.model.save_points())?;
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.plan = plan.to_owned();
        }
        Ok(())
    }

    /// Measures single layers and allocates, if that is due before `step`.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] when asked to stop, or an error if a pass fails or what was measured
    /// leaves nothing to choose; all codecs are then as they were.
    pub(crate) fn reallocate(
        &mut self,
        step: u64,
        interrupted: &AtomicBool,
        progress: &mut dyn Progress,
    ) -> Result<Option<Reallocated>> {
        let Some(adaptive) = &self.adaptive else { return Ok(None) };
        if !step.is_multiple_of(adaptive.every) || adaptive.since == Some(step) {
            return Ok(None);
        }
        let begun = Instant::now();
        let (scores, measuring_bytes) = self.measure(adaptive, step, interrupted, progress)?;
        let measured = adaptive.candidates.measured(scores).map_err(Error::Allocation)?;
        let (allocation, plan, kept_bytes) = adaptive.allocate(&measured)?.map_err(|least| {
            let left_out = measured.left_out().first().map_or_else(String::new, |left_out| {
                format!(", as {} at {}: {}", left_out.codec.as_deref().unwrap_or("all codecs"), left_out.layer, left_out.reason)
            });
            self.plan_refused(format!(
                "adaptive.budget: before step {step}, codecs could not be measured{left_out}; without them \
                 {least} B are needed"
            ))
        })?;
        let record = Record::Allocation {
            step,
            plan: plan.clone(),
            budget: adaptive.budget,
            kept_bytes,
            exact_bytes: adaptive.exact_bytes,
            measuring_bytes,
            predicted_error: allocation.error,
            layers: layers(&measured, &allocation),
        };
        let passes = adaptive.passes();
        self.use_codecs(&plan)?;
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.since = Some(step);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let measurement = Measurement::Allocation { step, passes, seconds };
        Ok(Some(Reallocated { record, measurement, seconds }))
    }

    /// How many times the codecs are allocated in the whole run.
    pub(crate) fn allocations(&self) -> u64 {
        self.adaptive.as_ref().map_or(0, |adaptive| self.total_steps().div_ceil(adaptive.every))
    }

    /// The error of a plan that the study cannot train with.
    fn plan_refused(&self, reason: String) -> Error {
        Error::Adaptive { plan: self.plan.name.clone(), reason }
    }
}

fn layers(measured: &Measured, allocation: &Allocation) -> Vec<AllocatedLayer> {
    let layer = |(layer, codec): (&packlight_allocation::LayerChoices, &String)| {
        let choice = layer.choices.iter().find(|choice| choice.codec == *codec);
        AllocatedLayer {
            layer: layer.facts.layer.clone(),
            codec: codec.clone(),
            kept_bytes: choice.map_or(layer.facts.raw_bytes, |choice| choice.bytes),
            raw_bytes: layer.facts.raw_bytes,
            error: choice.map_or(0.0, |choice| choice.error.mean),
        }
    };
    measured.layers().iter().zip(&allocation.codecs).map(layer).collect()
}

/// The largest number up to `most` of which something is true that is true of all smaller ones; 0 if of
/// none.
fn largest(most: usize, mut is_true: impl FnMut(usize) -> Result<bool>) -> Result<usize> {
    let (mut found, mut above) = (0, most + 1);
    while above - found > 1 {
        let middle = usize::midpoint(found, above);
        if is_true(middle)? { found = middle } else { above = middle }
    }
    Ok(found)
}
