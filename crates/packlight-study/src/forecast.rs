//! Estimates how long a run will take, from a few steps whose results are discarded.

use std::time::Instant;

use packlight_autograd::Pass;

use crate::Result;
use crate::instrument::Instrument;
use crate::run_trainer::RunTrainer;
use crate::translation::translate_first;

/// A typical step: at step 0 some codecs are calibrated.
const ORDINARY: u64 = 1;
const CALIBRATING: u64 = 0;

/// How long a run will take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Forecast {
    /// Seconds on this machine.
    pub(crate) seconds: f64,
    /// The part of these in which an adaptive plan measures.
    pub(crate) measuring: f64,
}

impl RunTrainer<'_> {
    /// Estimates how long all epochs will take on this machine: steps, probes, calibrations, evaluations with
    /// translations and the measurements of an adaptive plan, each timed after a first step as warm-up. It changes the
    /// parameters, so do not train with this trainer afterwards.
    ///
    /// # Errors
    /// Returns an error if a step cannot be computed.
    pub(crate) fn forecast(&mut self) -> Result<Forecast> {
        let steps = self.total_steps();
        let probed = self.study.probe.count(steps) as f64;
        let order = self.order(0);
        let train = &order[..order.len().min(self.study.batch)];
        let calibrations = self.trainer.steps.calibrations();
        let mut timed = |step, instrument| -> Result<f64> {
            self.trainer.steps.go_to(step);
            let begun = Instant::now();
            self.step(train, 0, instrument)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        timed(ORDINARY, Instrument::None)?;
        let step = (timed(ORDINARY, Instrument::None)? + timed(ORDINARY, Instrument::None)?) / 2.0;
        let probe = if probed > 0.0 { timed(ORDINARY, Instrument::Probe)? } else { 0.0 };
        let calibration = match calibrations {
            0 => 0.0,
            count => count as f64 * (timed(CALIBRATING, Instrument::None)? - step).max(0.0),
        };

        let samples = self.data.test.len();
        let test: Vec<usize> = (0..samples.min(self.study.batch)).collect();
        let begun = Instant::now();
        let inputs = self.data.test.batch(&test, None, &self.device)?.inputs;
        self.model.logits(&inputs, &Pass::evaluation())?;
        let mut evaluation =
            begun.elapsed().as_secs_f64() * samples as f64 / test.len().max(1) as f64;
        let begun = Instant::now();
        let (split, batch) = (&self.data.test, self.study.batch);
        let translated = translate_first(&self.model, split, batch, &self.device)?;
        if translated > 0 {
            evaluation += begun.elapsed().as_secs_f64() * samples as f64 / translated as f64;
        }
        let epochs = self.epochs as f64;
        let measuring = self.allocations() as f64 * self.forecast_measurement()?;
        let training = (steps as f64 - probed) * step + probed * probe + calibration + measuring;
        Ok(Forecast { seconds: training + epochs * evaluation, measuring })
    }
}
