//! One part of a set, training or test, and its batches.

use candle_core::{Device, Tensor};
use packlight_kernels::rng::Key;
use packlight_nn::model::Inputs;

use super::images::Images;
use super::pairs::Pairs;
use super::{Error, Result};

/// One part of a set, training or test, which hands out batches.
#[derive(Debug, Clone)]
pub enum Split {
    /// Images, each of one class.
    Images(Images),
    /// Pairs of sequences.
    Pairs(Pairs),
}

/// Samples as a model takes them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Images, f32; or pairs of sequences, the target from its beginning mark on. Each side of the
    /// pairs is as long as its longest sequence in this batch.
    pub inputs: Inputs,
    /// Labels, u32 of (N); or the target's tokens up to its end mark, u32 of (N, target length).
    pub targets: Tensor,
    /// How many targets count: all labels, or all tokens that are no padding.
    pub units: u64,
}

impl Split {
    /// The number of samples.
    pub fn len(&self) -> usize {
        match self {
            Split::Images(images) => images.labels().len(),
            Split::Pairs(pairs) => pairs.len(),
        }
    }

    /// Whether there are none; no set that [`load`](super::load()) returns has an empty part.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at `indices`.
    ///
    /// With a key images are varied as the set's [`Augment`](super::Augment) says (test images
    /// never are): a pure function of the key and of the places in the batch. Without one they are
    /// as they stand.
    ///
    /// # Errors
    /// If `indices` is empty or points past the end, or the device has no room.
    pub fn batch(&self, indices: &[usize], augment: Option<Key>, device: &Device) -> Result<Batch> {
        if let Some(&index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(Error::NoSuchSample { len: self.len(), found: index.to_string() });
        }
        if indices.is_empty() {
            return Err(Error::NoSuchSample { len: self.len(), found: "an empty one".into() });
        }
        match self {
            Split::Images(images) => images.batch(indices, augment, device),
            Split::Pairs(pairs) => pairs.batch(indices, device),
        }
    }
}
