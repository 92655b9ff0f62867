//! What a study reports while it runs.

/// Receives the events of a study, so that the library needs no terminal.
pub trait Progress {
    /// Receives one event.
    fn event(&mut self, event: Event<'_>);
}

/// Something that happened in a study.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// Something that is not an error, but that people should know.
    Warning {
        /// The warning.
        text: &'a str,
    },
    /// One step of a plan is about to be tried on each size of batch.
    Checking {
        /// The plan's name, such as `pool2`, or `vit/pool2` where several studies run.
        plan: &'a str,
    },
    /// A few steps of a plan are about to be taken, to estimate the remaining time.
    Forecasting {
        /// The plan's number among those with unfinished runs, from 1.
        number: usize,
        /// The number of these plans.
        of: usize,
    },
    /// An estimate of the remaining time.
    Forecast {
        /// The number of unfinished runs.
        runs: usize,
        /// The estimate in seconds, from the steps that were timed.
        seconds: f64,
    },
    /// A run starts, or resumes from its checkpoint.
    Started {
        /// The run's name, such as `pool2-seed0`, or `vit/pool2-seed0` where several studies run.
        run: &'a str,
        /// Its number among all runs, from 1.
        number: usize,
        /// The number of runs.
        of: usize,
        /// Steps done before.
        step: u64,
        /// Steps of the whole run.
        steps: u64,
        /// The estimate of the time of all its steps, in seconds.
        seconds: f64,
    },
    /// A run is skipped.
    Skipped {
        /// The run's name.
        run: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A training step was done.
    Step {
        /// Steps done so far.
        step: u64,
        /// Its loss.
        loss: f64,
    },
    /// What the measurements of an adaptive plan will take, before any training.
    Adapting {
        /// The plan's name.
        plan: &'a str,
        /// How often it measures in a run.
        times: u64,
        /// The forward and backward passes of each measurement.
        passes: u64,
        /// An estimate of the seconds that all of them take in a run.
        seconds: f64,
        /// Their share of the run's time.
        share: f64,
    },
    /// How far an adaptive plan has got in measuring single layers before a step.
    Allocating {
        /// Steps done so far.
        step: u64,
        /// The fraction of its passes that are done.
        done: f64,
    },
    /// An epoch ended.
    Epoch {
        /// Which, from 1.
        epoch: u64,
        /// The number of epochs.
        of: u64,
        /// Mean training loss, with label smoothing if the model uses it.
        train_loss: f64,
        /// Fraction of the test data classified correctly.
        test_accuracy: f64,
    },
    /// A run reached its planned end.
    Finished {
        /// The run's name.
        run: &'a str,
    },
    /// All runs have ended, and a plan's steps are about to be timed beside the exact plan's.
    Timing {
        /// The plan's name, such as `pool2`, or `vit/pool2` where several studies run.
        plan: &'a str,
    },
    /// What a measurement of single layers has to do, before it begins.
    ToMeasure {
        /// The scores: a layer, a codec and a batch each.
        scores: u64,
        /// The forward and backward passes.
        passes: u64,
        /// The steps of exact training between them.
        steps: u64,
        /// An estimate of the time in seconds, from passes that were timed.
        seconds: f64,
    },
    /// How far a measurement of single layers has got.
    Measuring {
        /// What it does now, such as `seed 0, start, batch 1 of 4`.
        now: &'a str,
        /// The fraction of all its work that is done.
        done: f64,
    },
    /// A run ended with an error.
    Failed {
        /// The run's name.
        run: &'a str,
        /// What went wrong.
        reason: &'a str,
    },
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
