//! A codec's state at a save point, kept from one step to the next.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::Bytes;

/// Named tensors that a codec keeps for its next step at the same layer, such as running ranges or
/// a subspace to start from. Checkpoints save them with the parameters.
#[derive(Debug, Clone, Default)]
pub struct CodecState {
    tensors: BTreeMap<String, Tensor>,
}

impl CodecState {
    /// The tensor under `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Stores a tensor under `name`, detached from any graph.
    pub fn set(&mut self, name: &str, tensor: &Tensor) {
        self.tensors.insert(name.to_owned(), tensor.detach());
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The bytes that they take, all through training.
    pub fn bytes(&self) -> usize {
        Bytes::of_tensors(self.tensors.values(), []).total()
    }
}
