//! What studies tell while they run.

/// Listens to a study; the library knows no terminal.
pub trait Progress {
    /// Takes note of one event.
    fn event(&mut self, event: Event<'_>);
}

/// Something that happened in a study.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// Something that is no error, and that people should know.
    Warning {
        /// What.
        text: &'a str,
    },
    /// A plan is about to be taken through a step on each size of batch.
    Checking {
        /// The plan's name, such as `pool2`, or `vit/pool2` where several studies run.
        plan: &'a str,
    },
    /// A few steps of so many plans are about to be timed.
    Timing {
        /// How many plans have runs to do.
        plans: usize,
    },
    /// What is left will take about so long.
    Forecast {
        /// Runs to do.
        runs: usize,
        /// Seconds, by the steps that were timed.
        seconds: f64,
    },
    /// A run starts, or goes on where its checkpoint left it.
    Started {
        /// The run's name, such as `pool2-seed0`, or `vit/pool2-seed0` where several studies run.
        run: &'a str,
        /// Its number among all runs, from 1.
        number: usize,
        /// How many runs there are.
        of: usize,
        /// Steps that were done before.
        step: u64,
        /// Steps that it has in all.
        steps: u64,
        /// Seconds that all its steps will take, by the forecast.
        seconds: f64,
    },
    /// A run is left as it is.
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
    /// An epoch ended.
    Epoch {
        /// Which, from 1.
        epoch: u64,
        /// How many there are.
        of: u64,
        /// Mean training loss, smoothed where the model's is.
        train_loss: f64,
        /// Fraction of the test data classified correctly.
        test_accuracy: f64,
    },
    /// A run came to its planned end.
    Finished {
        /// The run's name.
        run: &'a str,
    },
    /// A run ended with an error.
    Failed {
        /// The run's name.
        run: &'a str,
        /// What went wrong.
        reason: &'a str,
    },
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
