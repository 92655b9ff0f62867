//! Checks that a plan can train, before anything is timed.

use std::sync::Arc;

use packlight_autograd::{Pass, SavePoint};
use packlight_codec::Calibration;
use packlight_nn::Steps;

use crate::data::Batch;
use crate::run_trainer::RunTrainer;
use crate::step::forward;
use crate::{Error, Result};

impl RunTrainer<'_> {
    /// Runs forward and backward once on a batch of each size that an epoch has, so that every
    /// codec packs its layer's input and allocates its bits. It does not change parameters, but it
    /// changes running statistics and codec states, so do not train with this trainer afterwards.
    ///
    /// # Errors
    /// Returns an error if a layer or its codec cannot process its input; the error names the
    /// layer, the plan `plan` and the size of the batch.
    pub(crate) fn check(&self, plan: &str) -> Result<()> {
        let order = self.order(0);
        let mut batches = order.chunks(self.study.batch);
        let whole = batches.next();
        let last = batches.next_back().filter(|last| last.len() < self.study.batch);
        for samples in whole.into_iter().chain(last) {
            self.check_on(samples).map_err(|source| Error::Step {
                plan: plan.to_owned(),
                samples: samples.len(),
                remedy: self.remedy(&source, samples.len()),
                source: Box::new(source),
            })?;
        }
        Ok(())
    }

    fn check_on(&self, samples: &[usize]) -> Result<()> {
        let Batch { inputs, targets, .. } = self.data.train.batch(samples, None, &self.device)?;
        let model = &self.model;
        let loss =
            |pass: &Pass| forward(model, inputs.clone(), &targets, pass).map(|(loss, _)| loss);
        let (seed, total) = (self.trainer.steps.seed(), self.total_steps());
        let mut steps = Steps::new(model.parameters(), seed, total);
        let pass = match model.save_points().iter().any(|point| shares_a_budget(point, total)) {
            true => steps.begin(loss)?,
            false => steps.next_pass(), // other calibrations are slow and cannot fail on their own
        };
        loss(&pass)?.backward()?;
        steps.allocate()?;
        Ok(())
    }

    /// What to do about an error on so many samples, if that is known: another codec for its layer,
    /// or no smaller last batch.
    fn remedy(&self, error: &Error, samples: usize) -> String {
        let said = error.to_string();
        let mut layers = self.model.save_points().iter().map(|layer| layer.name());
        match layers.find(|name| said.starts_with(&format!("layer `{name}`: codec "))) {
            Some(layer) => format!("; write another codec for it, as in `{layer}=none`"),
            None if samples < self.study.batch => {
                "; this is an epoch's last batch, which `drop_last = true` leaves out".to_owned()
            }
            None => String::new(),
        }
    }
}

/// Whether a layer's codec may find, after its measurements, that the shared budget is too small.
fn shares_a_budget(layer: &Arc<SavePoint>, steps: u64) -> bool {
    let codec = layer.codec();
    let asked = codec.adaptive().and_then(|adaptive| adaptive.measure(0, steps));
    matches!(asked, Some(Calibration::Distances(_)))
}
