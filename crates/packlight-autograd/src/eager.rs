//! Parameters that are updated during the backward pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Tensor, TensorId};
use packlight_kernels::accumulate;

use crate::Result;

/// Updates each parameter as soon as its gradient is complete, and frees the gradient.
///
/// A backward pass otherwise ends with the gradients of all parameters, which take as much memory as
/// these. A gradient is complete when it has come from every operation of the pass that uses the
/// parameter, which have then all read its old value.
///
/// Operations of this crate are counted. A parameter that plain candle code uses as well, or that an
/// operation reads detached, must not be updated so.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use packlight_autograd::{Activation, EagerUpdates, Pass, SavePoint, op};
/// use packlight_record::LayerKind;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let weight = Var::from_tensor(&Tensor::ones((3, 4), DType::F32, &Device::Cpu)?)?;
/// let input = Tensor::ones((2, 4), DType::F32, &Device::Cpu)?;
/// let updates = EagerUpdates::default();
/// let x = Activation::from_tensor(&input, &Pass::training().with_eager_updates(&updates))?;
/// let fc = SavePoint::new("fc", LayerKind::Linear);
/// let loss = op::linear(&x, &weight, None, &fc)?.into_tensor()?.sum_all()?;
/// let updated = weight.clone();
/// updates.backward(&loss, move |_, gradient| updated.set(&(updated.as_tensor() - gradient)?))?;
/// assert_eq!(weight.to_vec2::<f32>()?, [[-1f32; 4]; 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct EagerUpdates(Arc<Inner>);

#[derive(Default)]
struct Inner {
    incomplete: Mutex<HashMap<TensorId, Incomplete>>,
    update: OnceLock<Box<Update>>,
}

type Update = dyn Fn(&Tensor, &Tensor) -> candle_core::Result<()> + Send + Sync;

/// What has come of a gradient.
struct Incomplete {
    parameter: Tensor,
    /// The number of uses whose gradients are to come.
    missing: usize,
    arrived: bool,
    sum: Option<Tensor>,
}

impl EagerUpdates {
    /// Runs the backward pass of `loss`, in which `update` is given each parameter with its gradient.
    /// The store that it returns has the gradients of variables that no operation uses as a parameter
    /// or an input.
    ///
    /// # Errors
    /// Returns an error if the backward pass or `update` fails, or this is called a second time. Some
    /// parameters may then have been updated.
    pub fn backward(
        &self,
        loss: &Tensor,
        update: impl Fn(&Tensor, &Tensor) -> candle_core::Result<()> + Send + Sync + 'static,
    ) -> Result<GradStore> {
        if self.0.update.set(Box::new(update)).is_err() {
            let message =
                "these eager updates have had their backward pass; make new ones for each";
            return Err(candle_core::Error::Msg(message.into()).into());
        }
        let store = loss.backward()?;
        // Uses whose outputs the loss does not depend on have no gradient to send.
        let rest = std::mem::take(&mut *self.incomplete());
        for gradient in rest.into_values().filter(|gradient| gradient.arrived) {
            self.apply(gradient)?;
        }
        Ok(store)
    }

    /// Runs the backward pass of `loss` without updates and returns all its gradients.
    ///
    /// They are those of candle's `backward`, which allocates three times a gradient to store it: it
    /// adds it to zeros. Parameters may be used by plain candle code, too.
    ///
    /// # Errors
    /// Returns an error if the backward pass fails, or there was one before.
    pub fn collect(&self, loss: &Tensor) -> Result<GradStore> {
        let collected = Arc::new(Mutex::new(Vec::new()));
        let to = collected.clone();
        let mut store = self.backward(loss, move |parameter, gradient| {
            let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
            to.push((parameter.clone(), gradient.clone()));
            Ok(())
        })?;
        let collected =
            std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner));
        for (parameter, gradient) in collected {
            let gradient = match store.remove(&parameter) {
                Some(other) => (other + gradient)?,
                None => gradient,
            };
            store.insert(&parameter, gradient);
        }
        Ok(store)
    }

    /// Waits for another gradient of a variable.
    pub(crate) fn expect(&self, parameter: &Tensor) {
        let mut incomplete = self.incomplete();
        let new =
            || Incomplete { parameter: parameter.clone(), missing: 0, arrived: false, sum: None };
        incomplete.entry(parameter.id()).or_insert_with(new).missing += 1;
    }

    /// Adds a gradient, or none where all of it is zero, and updates the variable if it was the last.
    pub(crate) fn arrived(&self, parameter: &Tensor, gradient: Option<Tensor>) -> Result<()> {
        let complete = {
            let mut incomplete = self.incomplete();
            let Some(to) = incomplete.get_mut(&parameter.id()) else { return Ok(()) };
            to.arrived = true;
            to.missing = to.missing.saturating_sub(1);
            to.sum = match (to.sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some(accumulate::add(&sum, &gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
            if to.missing > 0 {
                return Ok(());
            }
            incomplete.remove(&parameter.id())
        };
        complete.map_or(Ok(()), |complete| self.apply(complete))
    }

    fn apply(&self, Incomplete { parameter, sum, .. }: Incomplete) -> Result<()> {
        let Some(update) = self.0.update.get() else {
            let message =
                "this pass has eager updates; run its backward pass by `EagerUpdates::backward`";
            return Err(candle_core::Error::Msg(message.into()).into());
        };
        let gradient = sum.map_or_else(|| parameter.zeros_like(), Ok)?;
        Ok(update(&parameter, &gradient)?)
    }

    fn incomplete(&self) -> std::sync::MutexGuard<'_, HashMap<TensorId, Incomplete>> {
        self.0.incomplete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
