//! What a codec remembers of a layer from one step to the next.

use std::collections::BTreeMap;

use candle_core::Tensor;

/// Named tensors that a codec leaves for its next step at the same layer: running ranges, a
/// subspace to start from. Checkpoints save them with the parameters.
#[derive(Debug, Clone, Default)]
pub struct Memory(BTreeMap<String, Tensor>);

impl Memory {
    /// What was last left under `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// Leaves a tensor under `name`, detached from any graph.
    pub fn set(&mut self, name: &str, tensor: &Tensor) {
        self.0.insert(name.to_owned(), tensor.detach());
    }

    /// All that is remembered, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The bytes that it takes, all through training.
    pub fn bytes(&self) -> usize {
        self.0.values().map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
    }
}
