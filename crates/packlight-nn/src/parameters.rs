//! What a model is made of, by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use packlight_autograd::Layer;

use crate::{Result, weights};

/// A model's trainable parameters, its buffers (running statistics) and its layers, each in the
/// order in which the model's constructor made them, which for layers is the forward order.
///
/// A clone is another handle on the same variables.
#[derive(Clone, Default)]
pub struct Parameters {
    pub(crate) trainable: Vec<(String, Var)>,
    pub(crate) buffers: Vec<(String, Var)>,
    pub(crate) layers: Vec<Arc<Layer>>,
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

    /// The trainable variables of layers that are not frozen, with PyTorch's names.
    pub fn trained(&self) -> impl Iterator<Item = (&str, &Var)> {
        let frozen = |name: &str| {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            self.layers.iter().any(|other| other.is_frozen() && other.name() == layer)
        };
        self.named().filter(move |(name, _)| !frozen(name))
    }

    /// The buffers with PyTorch's names.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.buffers.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The layers in forward order.
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The number of trainable scalars.
    pub fn count(&self) -> usize {
        self.trainable.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Copies of the parameters and buffers as they are now.
    ///
    /// # Errors
    /// If candle cannot copy them.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Sets the parameters and buffers, cast to the model's type, or changes none.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen, not of floating point or unknown to the model; the error
    /// names it. Only `*.num_batches_tracked`, which PyTorch writes, may be there in addition.
    pub fn set(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        weights::assign(self.all(), tensors, "the given tensors")
    }

    /// Saves the parameters and buffers as safetensors; `path` is replaced at once or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors =
            self.all().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        weights::write(path, &tensors)
    }

    /// Loads what [`Parameters::save`] or PyTorch saved as safetensors in f16, bf16, f32 or f64.
    ///
    /// # Errors
    /// As [`Parameters::set`], if the file cannot be read, or if a value is not finite.
    pub fn load(&self, path: &Path) -> Result<()> {
        let tensors = weights::read(path, &Device::Cpu)?;
        let from = path.display().to_string();
        for (name, _) in self.all() {
            if let Some(tensor) = tensors.get(name) {
                weights::require_finite(tensor, name, &from)?;
            }
        }
        weights::assign(self.all(), &tensors, &from)
    }

    fn all(&self) -> impl Iterator<Item = &(String, Var)> {
        self.trainable.iter().chain(&self.buffers)
    }
}
