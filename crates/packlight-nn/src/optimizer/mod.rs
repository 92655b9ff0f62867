//! Optimizers whose state can be saved, so that training can be interrupted and resumed.
//!
//! Both are candle-nn `Optimizer`s: they take `Var`s and the `GradStore` of `loss.backward()`.

mod adamw;
mod sgd;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::Optimizer;

pub use adamw::AdamW;
pub use sgd::{Sgd, SgdConfig};

use crate::{Parameters, Result};

/// What a [`Trainer`](crate::Trainer) needs of an optimizer. Every candle-nn `Optimizer` implements
/// it, and unlike that trait it can be a trait object.
pub trait Update {
    /// The learning rate of the next update.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate of the next update.
    fn set_learning_rate(&mut self, learning_rate: f64);

    /// Updates the parameters by their gradients.
    ///
    /// # Errors
    /// Returns an error if candle cannot compute the update.
    fn update(&mut self, gradients: &GradStore) -> candle_core::Result<()>;
}

impl<O: Optimizer> Update for O {
    fn learning_rate(&self) -> f64 {
        Optimizer::learning_rate(self)
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        Optimizer::set_learning_rate(self, learning_rate);
    }

    fn update(&mut self, gradients: &GradStore) -> candle_core::Result<()> {
        self.step(gradients)
    }
}

/// An optimizer that can update one parameter at a time, for
/// [`Trainer::step_eagerly`](crate::Trainer::step_eagerly).
pub trait UpdateEach: Update {
    /// Begins the next step. What it returns updates a parameter by its gradient, and is called at
    /// most once for each; a parameter that the optimizer does not have stays as it is.
    fn begin_step(&mut self) -> UpdateOne;
}

/// Updates a parameter by its gradient.
pub type UpdateOne = Box<dyn Fn(&Tensor, &Tensor) -> candle_core::Result<()> + Send + Sync>;

/// An optimizer's state as named tensors.
///
/// With its state and the parameters restored, training continues bit for bit as if it had not been
/// interrupted.
pub trait Resumable: UpdateEach {
    /// Copies of the current state, named after the parameters.
    ///
    /// # Errors
    /// Returns an error if candle cannot copy it.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Restores what [`Resumable::state`] returned, or changes nothing.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing, has the wrong shape or is unknown; the error names
    /// it.
    fn set_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

impl Update for Box<dyn Resumable> {
    fn learning_rate(&self) -> f64 {
        (**self).learning_rate()
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        (**self).set_learning_rate(learning_rate);
    }

    fn update(&mut self, gradients: &GradStore) -> candle_core::Result<()> {
        (**self).update(gradients)
    }
}

impl UpdateEach for Box<dyn Resumable> {
    fn begin_step(&mut self) -> UpdateOne {
        (**self).begin_step()
    }
}

/// The parameters of a model, for an optimizer.
fn named_vars(parameters: &Parameters) -> Vec<(String, Var)> {
    parameters.named().map(|(name, var)| (name.to_owned(), var.clone())).collect()
}

/// Variables named by their position; as in candle-nn, variables that hold integers are left out.
fn numbered_vars(vars: Vec<Var>) -> Vec<(String, Var)> {
    let float = vars.into_iter().filter(|var| var.dtype().is_float());
    float.enumerate().map(|(index, var)| (index.to_string(), var)).collect()
}

/// Makes a variable of zeros for each given one, called `<what>.<name>`.
fn zeros_beside(vars: &[(String, Var)], what: &str) -> candle_core::Result<Vec<(String, Var)>> {
    let zeros = |(name, var): &(String, Var)| {
        let zeros = Var::zeros(var.shape(), var.dtype(), var.device())?;
        Ok((format!("{what}.{name}"), zeros))
    };
    vars.iter().map(zeros).collect()
}

/// Copies the variables.
fn copies(vars: &[(String, Var)]) -> Result<BTreeMap<String, Tensor>> {
    vars.iter().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
}
