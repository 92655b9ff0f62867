//! One step of training, from the calibration of codecs to the allocation of their bits.

use std::sync::{Arc, OnceLock};

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use packlight_autograd::{EagerUpdates, Pass};
use packlight_kernels::finite::is_finite;

use crate::optimizer::{Update, UpdateEach};
use crate::{Parameters, Result, Schedule, Steps};

/// Trains a network step by step: calibrates codecs, goes forward and back, updates the parameters
/// and lets codecs allocate bits and ranks.
///
/// It owns the seed and the number of the step, so that no two steps drop out or round alike.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use packlight_nn::prelude::*;
///
/// # fn main() -> packlight_nn::Result<()> {
/// let builder = Builder::new(0, DType::F32, &Device::Cpu)?;
/// let fc = Linear::new(&builder.pp("fc"), 8, 4)?;
/// let criterion = CrossEntropy::new(&builder.pp("loss"))?;
/// let parameters = builder.finish();
/// Plan::parse("linear=q4")?.apply(parameters.save_points())?;
///
/// let x = Tensor::ones((2, 8), DType::F32, &Device::Cpu)?;
/// let labels = Tensor::new(&[1u32, 3], &Device::Cpu)?;
/// let sgd = Sgd::for_parameters(&parameters, SgdConfig::default())?;
/// let mut trainer = Trainer::new(&parameters, sgd, 0, 10);
/// for _ in 0..10 {
///     trainer.step(|pass| criterion.loss(&fc.forward_in(pass, &x)?, &labels))?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`Trainer::step`] is made of calls that can be made one by one, to look at what lies between
/// them, for example by a pass with a ledger:
///
/// ```
/// # use packlight_nn::prelude::*;
/// # use packlight_nn::Result;
/// # fn step<O: packlight_nn::optimizer::Update>(
/// #     trainer: &mut Trainer<O>, loss: impl Fn(&Pass) -> Result<candle_core::Tensor>,
/// # ) -> Result<()> {
/// let ledger = Ledger::new();
/// let pass = trainer.steps.begin(&loss)?.with_ledger(&ledger);
/// let gradients = loss(&pass)?.backward()?;
/// trainer.update(&gradients)?;
/// println!("{} bytes saved at most", ledger.peak());
/// # Ok(())
/// # }
/// ```
pub struct Trainer<O> {
    /// The numbered steps.
    pub steps: Steps,
    /// The optimizer.
    pub optimizer: O,
    /// The schedule and the learning rate that it multiplies.
    schedule: Option<(Schedule, f64)>,
}

impl<O: Update> Trainer<O> {
    /// Trains `parameters` with `optimizer` for `total` steps, with random numbers from `seed`.
    pub fn new(parameters: &Parameters, optimizer: O, seed: u64, total: u64) -> Self {
        Self { steps: Steps::new(parameters, seed, total), optimizer, schedule: None }
    }

    /// Multiplies the optimizer's present learning rate by `schedule` from step to step.
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        let rate = self.optimizer.learning_rate();
        Self { schedule: Some((schedule, rate)), ..self }
    }

    /// Trains on one batch and returns its loss.
    ///
    /// `loss` computes the scalar loss in the pass that it is given. Where codecs are calibrated, it
    /// is called for that, too.
    ///
    /// # Errors
    /// Returns an error if a pass fails, or [`Error::Diverged`](crate::Error::Diverged) if the loss
    /// or a gradient is not finite; the parameters are then as they were.
    pub fn step(&mut self, loss: impl Fn(&Pass) -> Result<Tensor>) -> Result<f64> {
        let updates = EagerUpdates::default();
        let pass = self.steps.begin(&loss)?.with_eager_updates(&updates);
        let loss = loss(&pass)?;
        let value = self.steps.value(&loss)?;
        let gradients = updates.collect(&loss)?;
        drop(loss);
        self.update(&gradients)?;
        Ok(value)
    }

    /// Ends a step that [`Steps::begin`] began: updates the parameters by their gradients and lets
    /// codecs allocate bits and ranks.
    ///
    /// # Errors
    /// Returns [`Error::Diverged`](crate::Error::Diverged) if a gradient is not finite; the
    /// parameters are then as they were.
    pub fn update(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps.require_finite(gradients)?;
        let step = self.steps.next_step().saturating_sub(1);
        self.optimizer.set_learning_rate(self.learning_rate(step));
        self.optimizer.update(gradients)?;
        self.steps.allocate()
    }

    /// The learning rate of `step`.
    pub fn learning_rate(&self, step: u64) -> f64 {
        match &self.schedule {
            Some((schedule, rate)) => {
                rate * schedule.factor(step as usize, self.steps.total() as usize)
            }
            None => self.optimizer.learning_rate(),
        }
    }
}

impl<O: UpdateEach> Trainer<O> {
    /// Trains on one batch as [`Trainer::step`] does, to the same parameters, but updates each
    /// parameter during the backward pass, as soon as its gradient is complete, and frees the
    /// gradient: at no time are there gradients of all parameters. Studies take such steps where a plan says
    /// `update=eager`; a loop of one's own chooses by calling this.
    ///
    /// The loss must use parameters by layers and operations alone; see [`EagerUpdates`].
    ///
    /// # Errors
    /// Returns an error if a pass fails, or [`Error::Diverged`](crate::Error::Diverged) if the loss
    /// or a gradient is not finite. Where it was the loss, the parameters are as they were;
    /// otherwise, some of them may have been updated.
    pub fn step_eagerly(&mut self, loss: impl Fn(&Pass) -> Result<Tensor>) -> Result<f64> {
        let updates = EagerUpdates::default();
        let pass = self.steps.begin(&loss)?.with_eager_updates(&updates);
        let loss = loss(&pass)?;
        let value = self.steps.value(&loss)?;
        self.update_eagerly(&updates, &loss)?;
        Ok(value)
    }

    /// Ends a step that [`Steps::begin`] began, in place of [`Trainer::update`]: goes back from `loss`, whose
    /// pass has these updates, updates each parameter as soon as its gradient is complete, and lets codecs
    /// allocate bits and ranks.
    ///
    /// # Errors
    /// Returns [`Error::Diverged`](crate::Error::Diverged) if a gradient is not finite; parameters behind it
    /// may have been updated.
    pub fn update_eagerly(&mut self, updates: &EagerUpdates, loss: &Tensor) -> Result<()> {
        let step = self.steps.next_step().saturating_sub(1);
        self.optimizer.set_learning_rate(self.learning_rate(step));
        let update = self.optimizer.begin_step();
        let spoilt = Arc::new(OnceLock::new());
        let found = spoilt.clone();
        let done = updates.backward(loss, move |parameter, gradient| {
            if !is_finite(gradient).map_err(candle_core::Error::wrap)? {
                found.get_or_init(|| parameter.id());
                candle_core::bail!("a gradient is not finite")
            }
            update(parameter, gradient)
        });
        match spoilt.get() {
            Some(&parameter) => return Err(self.steps.diverged_at(parameter)),
            None => drop(done?),
        }
        self.steps.allocate()
    }
}
