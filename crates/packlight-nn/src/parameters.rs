//! The parameters, buffers and save points of a network, by name.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Tensor, Var};
use packlight_autograd::SavePoint;

use crate::{Error, Result, weights};

/// PyTorch's name for the running variance of a batch norm.
const RUNNING_VARIANCE: &str = "running_var";

/// A network's trainable parameters, its buffers (running statistics) and its save points, each in
/// the order in which they were made; for save points, that is the forward order.
///
/// A clone shares the same variables.
#[derive(Clone, Default)]
pub struct Parameters {
    pub(crate) trainable: Vec<(String, Var)>,
    /// The save point that each trainable variable belongs to, in the same order.
    pub(crate) owners: Vec<Arc<SavePoint>>,
    pub(crate) buffers: Vec<(String, Var)>,
    /// The names of all variables.
    pub(crate) names: HashSet<String>,
    pub(crate) save_points: Vec<Arc<SavePoint>>,
    /// The blocks that can be recomputed.
    pub(crate) blocks: Vec<Block>,
    /// The parameters that files may call by other names; `None` for a tensor that they may hold and
    /// the network does not use.
    pub(crate) also_called: BTreeMap<String, Option<String>>,
}

/// A block that a plan can recompute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// The numbers of its save points. Those of its inputs, which it has where it is recomputed, are not
    /// among them.
    pub layers: Range<usize>,
}

impl Parameters {
    /// The trainable variables.
    pub fn vars(&self) -> Vec<Var> {
        self.trainable.iter().map(|(_, var)| var.clone()).collect()
    }

    /// The trainable variables with PyTorch's names.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.trainable.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The trainable variables that are not frozen, with PyTorch's names.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Var)> {
        let trains = |(name, _, owner): &(&str, &Var, &Arc<SavePoint>)| owner.trains(name);
        self.owned().filter(trains).map(|(name, var, _)| (name, var))
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

    /// The blocks that a plan can recompute, in forward order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The number of trainable scalars.
    pub fn count(&self) -> usize {
        self.trainable.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Copies of the current parameters and buffers.
    ///
    /// # Errors
    /// Returns an error if candle cannot copy them.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Sets the parameters and buffers, cast to the model's type, or changes none.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing, has the wrong shape, is not of floating point or is
    /// unknown to the model; the error names it. Only `*.num_batches_tracked`, which PyTorch
    /// writes, is ignored.
    pub fn set(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        self.set_from(tensors, "the given tensors")
    }

    /// The same, with what errors call the place that the tensors are from.
    pub(crate) fn set_from(&self, tensors: &BTreeMap<String, Tensor>, from: &str) -> Result<()> {
        weights::assign(self.all(), tensors, from)
    }

    /// Saves the parameters and buffers as safetensors. It replaces `path` atomically.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        weights::write(path, &self.shared())
    }

    /// Saves as [`Parameters::save`] does, and writes what the weights are, as JSON, to the file's
    /// metadata. `origin` is an object; its `model` is the [`ModelSpec`](crate::ModelSpec), which
    /// [`Model::load`](crate::Model::load) compares with its own where tensors do not fit.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn save_with(&self, path: &Path, origin: String) -> Result<()> {
        weights::write_with(path, &self.shared(), Some(origin))
    }

    /// The current parameters and buffers, not copied.
    fn shared(&self) -> BTreeMap<String, Tensor> {
        self.all().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Loads a file in f16, bf16, f32 or f64: safetensors, as [`Parameters::save`] writes them, or a state
    /// dict of PyTorch's `torch.save`.
    ///
    /// # Errors
    /// Returns an error as [`Parameters::set`] and [`Parameters::read`] do, or if the file cannot
    /// be read.
    pub fn load(&self, path: &Path) -> Result<()> {
        self.load_from(&weights::File::open(path)?)
    }

    /// Loads a file that is open; see [`Parameters::load`].
    pub(crate) fn load_from(&self, file: &weights::File) -> Result<()> {
        self.set_from(&self.read(file, "")?, file.name())
    }

    /// Reads the tensors of `file` whose names begin with `prefix`, and returns them without that
    /// prefix, in the model's type. Names may have the parts `module` and `_orig_mod`, which
    /// PyTorch's `DataParallel` and `compile` insert, and a parameter may have one of the other names
    /// that [`Builder::also_called`](crate::Builder::also_called) gives it. Leaves out tensors that are
    /// not parameters and not of floating point, such as a counter or a mask.
    ///
    /// # Errors
    /// Returns an error if a parameter or buffer is not of floating point, holds a value that is
    /// not finite or a running variance below 0, or if two tensors are the same parameter
    /// by one name, or by two names with different values.
    pub fn read(&self, file: &weights::File, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let variables: BTreeMap<&str, &Var> =
            self.all().map(|(name, var)| (name.as_str(), var)).collect();
        let mut tensors: BTreeMap<String, (String, Tensor)> = BTreeMap::new();
        for stored in file.tensors() {
            let Some(own) = stored.strip_prefix(prefix).map(weights::unwrapped) else { continue };
            let name = match self.also_called.get(&own) {
                Some(Some(parameter)) => parameter.clone(),
                Some(None) => continue,
                None => own.clone(),
            };
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
            let extra = |hint| {
                Err(Error::ExtraTensor { from: file.name().into(), tensor: stored.clone(), hint })
            };
            match tensors.get(&name) {
                Some((of, _)) if *of == own => {
                    return extra(format!("; another one is `{name}` already"));
                }
                Some((_, other)) if !weights::equal(other, &tensor)? => {
                    return extra(format!(
                        "; it differs from `{name}`, of which it is a copy here"
                    ));
                }
                Some(_) => {}
                None => {
                    tensors.insert(name, (own, tensor));
                }
            }
        }
        Ok(tensors.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect())
    }

    fn all(&self) -> impl Iterator<Item = &(String, Var)> {
        self.trainable.iter().chain(&self.buffers)
    }
}
