//! One part of a set, training or test, and its batches.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use packlight_kernels::rng::Key;
use packlight_nn::model::Inputs;

use super::images::Images;
use super::labelled::Labelled;
use super::pairs::Pairs;
use super::text::Text;
use super::{Error, Result};

/// One part of a set, training or test, which makes batches.
#[derive(Debug, Clone)]
pub enum Split {
    /// Images, each of one class.
    Images(Images),
    /// Pairs of sequences.
    Pairs(Pairs),
    /// Text.
    Text(Text),
    /// Texts of one class each.
    Labelled(Labelled),
}

/// A batch of samples for a model.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Images, f32; or pairs of sequences, the target starting with its begin mark. Each side of
    /// the pairs is as long as its longest sequence in this batch. Or windows of a text, or texts
    /// padded to the longest in this batch.
    pub inputs: Inputs,
    /// Labels, u32 of (N); or the target's tokens up to its end mark, u32 of (N, target length); or the tokens of a text
    /// that come next, u32 of (N, length).
    pub targets: Tensor,
    /// The number of targets that count: all labels, or all tokens other than padding.
    pub units: u64,
}

impl Split {
    /// The number of samples.
    pub fn len(&self) -> usize {
        match self {
            Split::Images(images) => images.labels().len(),
            Split::Pairs(pairs) => pairs.len(),
            Split::Text(text) => text.len(),
            Split::Labelled(texts) => texts.len(),
        }
    }

    /// Whether there are no samples; no set that [`load`](super::load()) returns has an empty part.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The share of the most frequent target: what a model that always answers alike gets right.
    pub fn most_frequent(&self) -> f64 {
        match self {
            Split::Images(images) => most_frequent(images.labels().iter().copied()),
            Split::Pairs(pairs) => most_frequent(pairs.targets()),
            Split::Text(text) => most_frequent(text.targets()),
            Split::Labelled(texts) => most_frequent(texts.classes()),
        }
    }

    /// Samples of which each side of a batch is as long as that of any batch.
    pub(crate) fn longest(&self) -> Vec<usize> {
        match self {
            Split::Images(_) | Split::Text(_) => vec![0],
            Split::Pairs(pairs) => pairs.longest(),
            Split::Labelled(texts) => texts.longest(),
        }
    }

    /// The samples at `indices`.
    ///
    /// With a key, training images are augmented as the set's [`Augment`](super::Augment) says: a
    /// pure function of the key and of the positions in the batch. Without one, and for test
    /// images, they are not.
    ///
    /// # Errors
    /// Returns an error if `indices` is empty or has an index past the end, or if the device runs
    /// out of memory.
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
            Split::Text(text) => text.batch(indices, device),
            Split::Labelled(texts) => texts.batch(indices, device),
        }
    }
}

/// The share of the value that is there most often; 0 if there are none.
fn most_frequent(targets: impl Iterator<Item = u32>) -> f64 {
    let mut counts: HashMap<u32, u64> = HashMap::new();
    targets.for_each(|target| *counts.entry(target).or_default() += 1);
    let (most, all) = (counts.values().max().copied().unwrap_or(0), counts.values().sum::<u64>());
    most as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_always_answering_alike_gets_right() {
        let pairs = Pairs::new(vec![(vec![9], vec![5, 5, 5]), (vec![9], vec![5, 6])]);
        // 5, 5, 5, END, 5, 6, END
        assert_eq!(Split::Pairs(pairs).most_frequent(), 4.0 / 7.0);
        assert_eq!(most_frequent([2, 1, 2, 0].into_iter()), 0.5);
        assert_eq!(most_frequent([].into_iter()), 0.0);
    }
}
