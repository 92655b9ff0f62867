//! The steps of a training, numbered, around any loop.

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, TensorId};
use packlight_autograd::Pass;
use packlight_kernels::finite::is_finite;

use crate::{Error, Parameters, Result, calibration, codec_state};

/// Numbers the steps of a training and lets codecs adapt between them.
///
/// A loop of one's own calls [`Steps::begin`] once per step, and is candle's own otherwise. Each
/// step's random numbers follow from the seed and the number of the step, and codecs such as `gact`
/// or `asi` measure and allocate when it is time. [`Trainer`](crate::Trainer) does the rest of a
/// step, too.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{AdamW, Optimizer};
/// use packlight_autograd::{Activation, Pass};
/// use packlight_nn::layer::Linear;
/// use packlight_nn::{Builder, Module, Plan, Steps};
///
/// # fn main() -> packlight_nn::Result<()> {
/// let builder = Builder::new(0, DType::F32, &Device::Cpu)?;
/// let fc = Linear::new(&builder.pp("fc"), 8, 4)?;
/// let parameters = builder.finish();
/// Plan::parse("gact:4")?.apply(parameters.save_points())?;
/// let mut adam = AdamW::new_lr(parameters.vars(), 1e-3)?;
///
/// let x = Tensor::ones((2, 8), DType::F32, &Device::Cpu)?;
/// let loss = |pass: &Pass| {
///     let y = fc.forward(&Activation::from_tensor(&x, pass)?)?.into_tensor()?;
///     Ok(y.sqr()?.mean_all()?)
/// };
/// let mut steps = Steps::new(&parameters, 0, 10);
/// for _ in 0..10 {
///     let pass = steps.begin(loss)?; // the one line that is not candle's
///     adam.step(&loss(&pass)?.backward()?)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Steps {
    parameters: Parameters,
    seed: u64,
    total: u64,
    /// The number of the step that begins next.
    next: u64,
    /// Whether codecs have yet to allocate after the last step.
    allocation_due: bool,
}

impl Steps {
    /// `total` steps of training `parameters`, with random numbers from `seed`.
    ///
    /// Codecs that measure several times spread this over `total` steps; training may go on after
    /// them.
    pub fn new(parameters: &Parameters, seed: u64, total: u64) -> Self {
        Self { parameters: parameters.clone(), seed, total, next: 0, allocation_due: false }
    }

    /// Goes on with step `step`, as a resumed training does once parameters and codec states are
    /// restored.
    pub fn go_to(&mut self, step: u64) {
        self.next = step;
        self.allocation_due = false;
    }

    /// The number of the step that begins next, from 0.
    pub fn next_step(&self) -> u64 {
        self.next
    }

    /// The number of steps of the whole training.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The seed of all random numbers.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A pass with the random numbers of the step that begins next, for a look at it beforehand.
    pub fn next_pass(&self) -> Pass {
        Pass::training().with_seed(self.seed, self.next)
    }

    /// Whether any codec asks to be calibrated before the next step.
    pub fn calibrates_next(&self) -> bool {
        calibration::is_due(&self.parameters, self.next, self.total)
    }

    /// How many of all steps begin with a calibration.
    pub fn calibrations(&self) -> u64 {
        // A codec that asks at all asks before the first step.
        match calibration::is_due(&self.parameters, 0, self.total) {
            true => (0..self.total)
                .filter(|&step| calibration::is_due(&self.parameters, step, self.total))
                .count() as u64,
            false => 0,
        }
    }

    /// Begins the next step and returns its pass.
    ///
    /// Codecs first allocate by what the last step measured, unless
    /// [`Steps::allocate`] has done so, and are calibrated where one asks to be. `loss` computes
    /// the loss of this step's batch in the pass that it is given; only a calibration calls it.
    ///
    /// # Errors
    /// Returns an error if a pass of a calibration fails or a codec cannot allocate.
    pub fn begin(&mut self, loss: impl Fn(&Pass) -> Result<Tensor>) -> Result<Pass> {
        if self.allocation_due {
            self.allocate()?;
        }
        let pass = self.next_pass();
        calibration::calibrate(&self.parameters, &pass, loss, self.next, self.total)?;
        self.next += 1;
        self.allocation_due = true;
        Ok(pass)
    }

    /// Lets codecs allocate bits and ranks to their save points after a step's backward pass.
    ///
    /// [`Steps::begin`] does this for the step before; it has to be called only before codec states
    /// are saved.
    ///
    /// # Errors
    /// Returns an error if a codec cannot allocate, for example because its budget is too small.
    pub fn allocate(&mut self) -> Result<()> {
        self.allocation_due = false;
        codec_state::allocate(self.parameters.save_points())
    }

    /// The value of the loss of the step that has begun.
    ///
    /// # Errors
    /// Returns [`Error::Diverged`] if it is not finite.
    pub fn value(&self, loss: &Tensor) -> Result<f64> {
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        match value.is_finite() {
            true => Ok(value),
            false => Err(self.diverged(format!("the loss is {value}"))),
        }
    }

    /// Checks the gradients of all parameters that train: an update by one that is not finite would
    /// spoil the parameters for good.
    ///
    /// # Errors
    /// Returns [`Error::Diverged`] for the first that is not finite.
    pub fn require_finite(&self, gradients: &GradStore) -> Result<()> {
        for (name, var) in self.parameters.trained() {
            let Some(gradient) = gradients.get(var) else { continue };
            if !is_finite(gradient)? {
                return Err(self.diverged(format!("the gradient of {name} is not finite")));
            }
        }
        Ok(())
    }

    /// The error for a gradient of this parameter that is not finite.
    pub(crate) fn diverged_at(&self, parameter: TensorId) -> Error {
        let name = self.parameters.named().find(|(_, var)| var.id() == parameter);
        let name = name.map_or("a parameter", |(name, _)| name);
        self.diverged(format!("the gradient of {name} is not finite"))
    }

    fn diverged(&self, found: String) -> Error {
        Error::Diverged { found, step: self.next.saturating_sub(1) }
    }
}

/// The loss of a single batch and its gradients, without training on it.
///
/// Codecs that allocate bits or ranks measure on the batch first, in a pass of its own, as they do
/// at the beginning of a training. `loss` computes the loss in the pass that it is given.
///
/// # Errors
/// Returns an error if a pass fails, or [`Error::Diverged`] if the loss or a gradient is not finite.
pub fn gradients(
    parameters: &Parameters,
    loss: impl Fn(&Pass) -> Result<Tensor>,
) -> Result<(Tensor, GradStore)> {
    let save_points = parameters.save_points();
    let states = || codec_state::tensors(save_points).into_values().map(|tensor| tensor.id());
    let mut steps = Steps::new(parameters, 0, 1);
    let pass = steps.begin(&loss)?;
    let mut value = loss(&pass)?;
    let mut gradients = value.backward()?;
    let before: Vec<_> = states().collect();
    steps.allocate()?;
    if !states().eq(before) {
        value = loss(&pass)?;
        gradients = value.backward()?;
    }
    steps.value(&value)?;
    steps.require_finite(&gradients)?;
    Ok((value, gradients))
}
