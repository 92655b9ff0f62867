//! How long a run will take, measured on a few steps that are thrown away.

use std::sync::Arc;
use std::time::Instant;

use packlight_autograd::{Pass, SavePoint};

use crate::Result;
use crate::step::Look;
use crate::trainer::Trainer;

/// A step like most others: at step 0 some codecs are calibrated.
const ORDINARY: u64 = 1;
const CALIBRATING: u64 = 0;

impl Trainer<'_> {
    /// The seconds that all epochs will take here and now: steps, probes, calibrations and
    /// evaluations, each timed once the first step has warmed up. Changes the parameters, so the
    /// trainer is of no other use afterwards.
    ///
    /// # Errors
    /// If a step cannot be computed.
    pub(crate) fn forecast(&mut self) -> Result<f64> {
        let steps = self.total_steps();
        let probed = self.study.probe.count(steps) as f64;
        let order = self.order(0);
        let train = &order[..order.len().min(self.study.batch)];
        let calibrations = self.calibrations();
        let mut timed = |step, look| -> Result<f64> {
            let begun = Instant::now();
            self.step(train, 0, step, look)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        timed(ORDINARY, Look::Nothing)?;
        let step = (timed(ORDINARY, Look::Nothing)? + timed(ORDINARY, Look::Nothing)?) / 2.0;
        let probe = if probed > 0.0 { timed(ORDINARY, Look::Probe)? } else { 0.0 };
        let calibration = match calibrations {
            0 => 0.0,
            count => count as f64 * (timed(CALIBRATING, Look::Nothing)? - step).max(0.0),
        };

        let samples = self.data.test.len();
        let test: Vec<usize> = (0..samples.min(self.study.batch)).collect();
        let begun = Instant::now();
        let inputs = self.data.test.batch(&test, None, &self.device)?.inputs;
        self.model.logits(&inputs, &Pass::evaluation())?;
        let evaluation = begun.elapsed().as_secs_f64() * samples as f64 / test.len().max(1) as f64;
        let epochs = self.epochs as f64;
        Ok((steps as f64 - probed) * step + probed * probe + calibration + epochs * evaluation)
    }

    /// Steps before which the layers' sensitivities are measured.
    fn calibrations(&self) -> usize {
        let steps = self.total_steps();
        let asks = |layer: &&Arc<SavePoint>, step| {
            layer.codec().adaptive().is_some_and(|codec| codec.measure(step, steps).is_some())
        };
        // What asks at all asks before the first step, too.
        let layers: Vec<_> =
            self.model.save_points().iter().filter(|layer| asks(layer, CALIBRATING)).collect();
        let calibrating = |step: &u64| layers.iter().any(|layer| asks(layer, *step));
        if layers.is_empty() { 0 } else { (0..steps).filter(calibrating).count() }
    }
}
