//! Optimizers whose state can be saved, for training that is interrupted and resumed.
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

/// What a [`Trainer`](crate::Trainer) asks of an optimizer. Every candle-nn `Optimizer` has it, and
/// unlike that trait it can be used through a pointer.
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

/// An optimizer's state as named tensors.
///
/// With the state and the parameters restored, training goes on to the same bits as if it had not
/// been interrupted.
pub trait Resumable: Update {
    /// Copies of the state as it is now, named after the parameters.
    ///
    /// # Errors
    /// Returns an error if candle cannot copy it.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Restores what [`Resumable::state`] returned, or changes nothing.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing, misshapen or unknown; the error names it.
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

/// The parameters of a model as an optimizer takes them.
fn named_vars(parameters: &Parameters) -> Vec<(String, Var)> {
    parameters.named().map(|(name, var)| (name.to_owned(), var.clone())).collect()
}

/// Variables without names, called by their position; those that hold integers are left out, as in
/// candle-nn.
fn numbered_vars(vars: Vec<Var>) -> Vec<(String, Var)> {
    let float = vars.into_iter().filter(|var| var.dtype().is_float());
    float.enumerate().map(|(index, var)| (index.to_string(), var)).collect()
}

/// Variables of zeros beside the given ones, called `<what>.<name>`.
fn zeros_beside(vars: &[(String, Var)], what: &str) -> candle_core::Result<Vec<(String, Var)>> {
    let zeros = |(name, var): &(String, Var)| {
        let zeros = Var::zeros(var.shape(), var.dtype(), var.device())?;
        Ok((format!("{what}.{name}"), zeros))
    };
    vars.iter().map(zeros).collect()
}

/// Copies of variables.
fn copies(vars: &[(String, Var)]) -> Result<BTreeMap<String, Tensor>> {
    vars.iter().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
}
