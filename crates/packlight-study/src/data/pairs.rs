//! One part of a set of pairs of sequences, and its batches.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use packlight_nn::model::{Inputs, PADDING};
use sha2::{Digest, Sha256};

use super::dataset::{DataSet, Form};
use super::vocabulary::{BEGIN, END, MARKS, UNKNOWN, joined};
use super::{Batch, DataSpec, Result, Split};

/// One part of a set of pairs of sequences of tokens, each of any length.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// The source and target of each pair, without begin and end marks.
    pairs: Vec<(Vec<u32>, Vec<u32>)>,
    /// What the targets are as text, in a set of translations.
    texts: Option<Texts>,
}

#[derive(Debug, Clone)]
struct Texts {
    /// The target of each pair.
    references: Vec<String>,
    /// The words of the targets' vocabulary.
    words: Arc<[String]>,
}

impl Pairs {
    pub(super) fn new(pairs: Vec<(Vec<u32>, Vec<u32>)>) -> Self {
        Self { pairs, texts: None }
    }

    /// These pairs, whose targets are the tokens of `references`, from a vocabulary of `words`.
    pub(super) fn with_texts(self, references: Vec<String>, words: Arc<[String]>) -> Self {
        Self { texts: Some(Texts { references, words }), ..self }
    }

    /// The target of each pair as text; nothing if the targets are no texts.
    pub fn references(&self) -> Option<&[String]> {
        self.texts.as_ref().map(|texts| &texts.references[..self.pairs.len()])
    }

    /// Tokens of a target as text: words that are unknown are "⁇", and marks are left out.
    pub fn text(&self, tokens: &[u32]) -> String {
        let Some(Texts { words, .. }) = &self.texts else { return String::new() };
        let word = |&token: &u32| match token {
            UNKNOWN => Some("⁇"),
            token => words.get(token.checked_sub(MARKS)? as usize).map(String::as_str),
        };
        joined(&tokens.iter().filter_map(word).collect::<Vec<_>>())
    }

    /// The sources at `indices`, padded to the longest.
    ///
    /// # Errors
    /// Returns an error if the device runs out of memory.
    pub fn sources(&self, indices: &[usize], device: &Device) -> Result<Tensor> {
        filled_up(indices.iter().map(|&index| self.pairs[index].0.clone()).collect(), device)
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The tokens that a model is to predict, end marks included.
    pub(super) fn targets(&self) -> impl Iterator<Item = u32> {
        self.pairs.iter().flat_map(|(_, target)| target.iter().copied().chain([END]))
    }

    /// The pairs with the longest source and with the longest target.
    pub(super) fn longest(&self) -> Vec<usize> {
        let by = |length: fn(&(Vec<u32>, Vec<u32>)) -> usize| {
            (0..self.len()).max_by_key(|&index| length(&self.pairs[index]))
        };
        by(|pair| pair.0.len()).into_iter().chain(by(|pair| pair.1.len())).collect()
    }

    /// The pairs at `indices`, with each side padded to its longest sequence.
    pub(super) fn batch(&self, indices: &[usize], device: &Device) -> Result<Batch> {
        let pairs = || indices.iter().map(|&index| &self.pairs[index]);
        let units = pairs().map(|(_, target)| target.len() as u64 + 1).sum();
        let sources = pairs().map(|(source, _)| source.clone());
        let begun = pairs().map(|(_, target)| [&[BEGIN], &target[..]].concat());
        let ended = pairs().map(|(_, target)| [&target[..], &[END]].concat());
        Ok(Batch {
            inputs: Inputs::Pairs {
                source: filled_up(sources.collect(), device)?,
                target: filled_up(begun.collect(), device)?,
            },
            targets: filled_up(ended.collect(), device)?,
            units,
        })
    }
}

/// Sequences as one tensor (N, length), with shorter ones padded to the longest.
pub(super) fn filled_up(mut sequences: Vec<Vec<u32>>, device: &Device) -> Result<Tensor> {
    let length = sequences.iter().map(Vec::len).max().unwrap_or(0);
    sequences.iter_mut().for_each(|tokens| tokens.resize(length, PADDING));
    Ok(Tensor::from_vec(sequences.concat(), (sequences.len(), length), device)?)
}

/// A set of the first pairs that `spec` asks for; `vocabularies` gives the number of different
/// tokens of sources and of targets.
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
    fn batches_are_marked_and_each_side_is_filled_up_to_its_own_longest() {
        let pairs = Pairs::new(vec![(vec![5, 6, 7, 8], vec![8]), (vec![9], vec![4, 5])]);
        let batch = pairs.batch(&[1, 0], &Device::Cpu).unwrap();
        let Inputs::Pairs { source, target } = batch.inputs else { panic!("no pairs") };
        assert_eq!(source.to_vec2::<u32>().unwrap(), [[9, 0, 0, 0], [5, 6, 7, 8]]);
        assert_eq!(target.to_vec2::<u32>().unwrap(), [[BEGIN, 4, 5], [BEGIN, 8, 0]]);
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[4, 5, END], [8, END, 0]]);
        assert_eq!(batch.units, 5);
        assert_eq!(pairs.longest(), [0, 1]);
    }
}
