//! Optimizers whose state can be saved, for training that is interrupted and resumed.
//!
//! Both are candle-nn `Optimizer`s: they take `Var`s and the `GradStore` of `loss.backward()`.

mod adamw;
mod sgd;

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

pub use adamw::AdamW;
pub use sgd::{Sgd, SgdConfig};

use crate::{Parameters, Result};

/// An optimizer's state as named tensors.
///
/// With the state and the parameters restored, training goes on to the same bits as if it had not
/// been interrupted.
pub trait Resumable {
    /// Copies of the state as it is now, named after the parameters.
    ///
    /// # Errors
    /// If candle cannot copy it.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Restores what [`Resumable::state`] gave, or changes nothing.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen or unknown; the error names it.
    fn set_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
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
