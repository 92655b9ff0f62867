//! What a codec remembers of a layer from one step to the next.

use std::collections::BTreeMap;

use candle_core::Tensor;

/// Named tensors that a codec leaves for its next step at the same layer: running ranges, a
/// subspace to start from. Checkpoints save them with the parameters.
#[derive(Debug, Clone, Default)]
pub struct CodecState {
    tensors: BTreeMap<String, Tensor>,
    trial: Option<u8>,
}

impl CodecState {
    /// What was last left under `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Leaves a tensor under `name`, detached from any graph.
    pub fn set(&mut self, name: &str, tensor: &Tensor) {
        self.tensors.insert(name.to_owned(), tensor.detach());
    }

    /// The bits, or what else a codec calls a level, that this layer is to be packed in once, to see
    /// how much it matters; see [`Codec::calibrates`](crate::Codec::calibrates).
    pub fn trial(&self) -> Option<u8> {
        self.trial
    }

    /// This memory for such a trial.
    pub fn for_trial(self, level: u8) -> Self {
        Self { trial: Some(level), ..self }
    }

    /// All that is remembered, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The bytes that it takes, all through training.
    pub fn bytes(&self) -> usize {
        self.tensors
            .values()
            .map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes())
            .sum()
    }
}
