//! What a model is made of, by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Tensor, Var};
use packlight_autograd::SavePoint;

use crate::{Error, Result, weights};

/// What PyTorch calls the running variance of a batch norm.
const RUNNING_VARIANCE: &str = "running_var";

/// A network's trainable parameters, its buffers (running statistics) and its save points, each in the
/// order in which they were made, which for save points is the forward order.
///
/// A clone is another handle on the same variables.
#[derive(Clone, Default)]
pub struct Parameters {
    pub(crate) trainable: Vec<(String, Var)>,
    /// The save point that each trainable variable belongs to, in the same order.
    pub(crate) owners: Vec<Arc<SavePoint>>,
    pub(crate) buffers: Vec<(String, Var)>,
    pub(crate) save_points: Vec<Arc<SavePoint>>,
}

impl Parameters {
    /// The trainable variables, for an optimizer.
    pub fn vars(&self) -> Vec<Var> {
        self.trainable.iter().map(|(_, var)| var.clone()).collect()
    }

    /// The trainable variables with PyTorch's names.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.trainable.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The trainable variables that are not frozen, with PyTorch's names.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.owned().filter(|(_, _, owner)| !owner.is_frozen()).map(|(name, var, _)| (name, var))
    }

    /// The trainable variables with PyTorch's names and the save points that they belong to.
    pub fn owned(&self) -> impl Iterator<Item = (&str, &Var, &Arc<SavePoint>)> {
        let all = self.trainable.iter().zip(&self.owners);
        all.map(|((name, var), owner)| (name.as_str(), var, owner))
    }

    /// The buffers with PyTorch's names.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.buffers.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The save points in forward order.
    pub fn save_points(&self) -> &[Arc<SavePoint>] {
        &self.save_points
    }

    /// The number of trainable scalars.
    pub fn count(&self) -> usize {
        self.trainable.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Copies of the parameters and buffers as they are now.
    ///
    /// # Errors
    /// Returns an error if candle cannot copy them.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Sets the parameters and buffers, cast to the model's type, or changes none.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing, misshapen, not of floating point or unknown to the model; the error
    /// names it. Only `*.num_batches_tracked`, which PyTorch writes, may be there in addition.
    pub fn set(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        weights::assign(self.all(), tensors, "the given tensors")
    }

    /// Saves the parameters and buffers as safetensors; `path` is replaced at once or not at all.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors =
            self.all().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        weights::write(path, &tensors)
    }

    /// Loads what [`Parameters::save`] or PyTorch saved as safetensors in f16, bf16, f32 or f64.
    ///
    /// # Errors
    /// Returns an error as [`Parameters::set`] and [`Parameters::read`] do, or if the file cannot be
    /// read.
    pub fn load(&self, path: &Path) -> Result<()> {
        let file = weights::File::open(path)?;
        weights::assign(self.all(), &self.read(&file, "")?, file.name())
    }

    /// The tensors of `file` whose names begin with `prefix`, named without it, in the model's type.
    /// Names may have the parts `module` and `_orig_mod`, which PyTorch's `DataParallel` and
    /// `compile` put in. What is no parameter and does not hold floating-point numbers, such as a
    /// counter or a mask, is left out.
    ///
    /// # Errors
    /// Returns an error if a parameter or buffer is not of floating point, holds a value that is not finite or a
    /// running variance below 0, or if two tensors are the same parameter.
    pub fn read(&self, file: &weights::File, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let variables: BTreeMap<&str, &Var> =
            self.all().map(|(name, var)| (name.as_str(), var)).collect();
        let mut tensors = BTreeMap::new();
        for stored in file.tensors() {
            let Some(name) = stored.strip_prefix(prefix).map(weights::unwrapped) else { continue };
            let var = variables.get(name.as_str());
            if var.is_none() && !file.holds_floats(&stored) {
                continue;
            }
            let Some(mut tensor) = file.get_floats(&stored)? else { continue };
            if let Some(var) = var {
                tensor = tensor.to_dtype(var.dtype())?;
                match name.ends_with(RUNNING_VARIANCE) {
                    true => weights::require_variances(&tensor, &stored, file.name())?,
                    false => weights::require_finite(&tensor, &stored, file.name())?,
                }
            }
            if tensors.contains_key(&name) {
                let hint = format!("; another one is `{name}` already");
                return Err(Error::ExtraTensor { from: file.name().into(), tensor: stored, hint });
            }
            tensors.insert(name, tensor);
        }
        Ok(tensors)
    }

    fn all(&self) -> impl Iterator<Item = &(String, Var)> {
        self.trainable.iter().chain(&self.buffers)
    }
}
