//! One part of a set of pairs of sequences, and its batches.

use candle_core::{Device, Tensor};
use packlight_nn::model::PADDING;
use sha2::{Digest, Sha256};

use super::dataset::{DataSet, Form};
use super::vocabulary::{BEGIN, END};
use super::{Batch, DataSpec, Result, Split};

/// One part of a set of pairs of sequences of tokens, each of any length.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// Source and target of each pair, without marks.
    pairs: Vec<(Vec<u32>, Vec<u32>)>,
}

impl Pairs {
    pub(super) fn new(pairs: Vec<(Vec<u32>, Vec<u32>)>) -> Self {
        Self { pairs }
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The pairs at `indices`, all filled up to the longest sequence among them.
    pub(super) fn batch(&self, indices: &[usize], device: &Device) -> Result<Batch> {
        let pairs = || indices.iter().map(|&index| &self.pairs[index]);
        let length = pairs().map(|(source, target)| source.len().max(target.len() + 1)).max();
        let length = length.unwrap_or(0);
        let filled = |tokens: &mut Vec<u32>, row: &mut dyn Iterator<Item = u32>| {
            let end = tokens.len() + length;
            tokens.extend(row);
            tokens.resize(end, PADDING);
        };
        let (mut inputs, mut targets, mut units) = (Vec::new(), Vec::new(), 0);
        for (source, target) in pairs() {
            filled(&mut inputs, &mut source.iter().copied());
            filled(&mut inputs, &mut [BEGIN].into_iter().chain(target.iter().copied()));
            filled(&mut targets, &mut target.iter().copied().chain([END]));
            units += target.len() as u64 + 1;
        }
        Ok(Batch {
            inputs: Tensor::from_vec(inputs, (indices.len(), 2, length), device)?,
            targets: Tensor::from_vec(targets, (indices.len(), length), device)?,
            units,
        })
    }
}

/// A set of the first pairs that `spec` asks for, of as many different tokens as `vocabularies`
/// says of sources and targets.
pub(super) fn set(
    mut train: Pairs,
    mut test: Pairs,
    vocabularies: (usize, usize),
    spec: &DataSpec,
) -> DataSet {
    let mut hasher = Sha256::new();
    for (part, limit) in [(&mut train, spec.train_limit), (&mut test, spec.test_limit)] {
        part.pairs.truncate(limit.unwrap_or(usize::MAX));
        for sequence in part.pairs.iter().flat_map(|(source, target)| [source, target]) {
            hasher.update((sequence.len() as u64).to_le_bytes());
            sequence.iter().for_each(|token| hasher.update(token.to_le_bytes()));
        }
    }
    let (source_vocabulary, target_vocabulary) = vocabularies;
    DataSet {
        name: spec.name.clone(),
        train: Split::Pairs(train),
        test: Split::Pairs(test),
        form: Form::Pairs { source_vocabulary, target_vocabulary },
        checksum: crate::hex(&hasher.finalize()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_marked_and_filled_up() {
        let pairs = Pairs::new(vec![(vec![5, 6, 7], vec![8]), (vec![9], vec![4, 5])]);
        let batch = pairs.batch(&[1, 0], &Device::Cpu).unwrap();
        assert_eq!(
            batch.inputs.to_vec3::<u32>().unwrap(),
            [[[9, 0, 0], [BEGIN, 4, 5]], [[5, 6, 7], [BEGIN, 8, 0]]]
        );
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[4, 5, END], [8, END, 0]]);
        assert_eq!(batch.units, 5);
    }
}
