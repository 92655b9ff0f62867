//! Text for language models: one file, whose characters are the tokens.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use packlight_nn::model::Inputs;
use sha2::{Digest, Sha256};

use super::dataset::{DataSet, Form};
use super::{Batch, DataSpec, Error, Result, Split, text_file};

/// The token of characters that the training part does not have.
const UNKNOWN: u32 = 0;

/// One part of a text, in windows that follow one another. A sample is a window, and its targets are
/// the same window one token later.
#[derive(Debug, Clone)]
pub struct Text {
    tokens: Vec<u32>,
    length: usize,
}

impl Text {
    /// At most `limit` windows of `length` tokens.
    fn new(mut tokens: Vec<u32>, length: usize, limit: Option<usize>) -> Result<Self> {
        let whole = tokens.len().saturating_sub(1) / length;
        if whole == 0 {
            let expected = format!(
                "less than the {} characters of a part of the text (nine tenths are for training, the \
                 last one for the test)",
                tokens.len()
            );
            return Err(Error::setting("length", expected, length));
        }
        tokens.truncate(whole.min(limit.unwrap_or(whole)) * length + 1);
        Ok(Self { tokens, length })
    }

    pub(super) fn len(&self) -> usize {
        (self.tokens.len() - 1) / self.length // the last target belongs to no further window
    }

    /// The tokens that a model is to predict.
    pub(super) fn targets(&self) -> impl Iterator<Item = u32> {
        self.tokens.iter().skip(1).copied()
    }

    /// The windows at `indices`.
    pub(super) fn batch(&self, indices: &[usize], device: &Device) -> Result<Batch> {
        let shape = (indices.len(), self.length);
        let windows = |later: usize| {
            let window =
                |&index: &usize| &self.tokens[index * self.length + later..][..self.length];
            let tokens: Vec<u32> = indices.iter().flat_map(window).copied().collect();
            Tensor::from_vec(tokens, shape, device)
        };
        let units = (indices.len() * self.length) as u64;
        Ok(Batch { inputs: Inputs::Text(windows(0)?), targets: windows(1)?, units })
    }
}

/// Reads the text in `path`, which may be compressed with gzip: its first nine tenths are for training,
/// and the rest for the test. The vocabulary is the characters of the training part.
pub(super) fn load(path: &Path, spec: &DataSpec) -> Result<DataSet> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    set(&text_file::decoded(&bytes, path)?, spec)
}

/// The set of this text.
pub(super) fn set(text: &str, spec: &DataSpec) -> Result<DataSet> {
    let characters: Vec<char> = text.chars().collect();
    let (train, test) = characters.split_at(characters.len() * 9 / 10);
    let known: BTreeSet<char> = train.iter().copied().collect();
    let vocabulary = known.len() + 1;
    let numbers: HashMap<char, u32> = known.into_iter().zip(UNKNOWN + 1..).collect();
    let length = spec.length.unwrap_or(DataSpec::LENGTH);
    let part = |characters: &[char], limit| {
        let number = |c| numbers.get(c).copied().unwrap_or(UNKNOWN);
        Text::new(characters.iter().map(number).collect(), length, limit)
    };
    let (train, test) = (part(train, spec.train_limit)?, part(test, spec.test_limit)?);
    let mut hasher = Sha256::new();
    for part in [&train, &test] {
        hasher.update((part.tokens.len() as u64).to_le_bytes());
        part.tokens.iter().for_each(|token| hasher.update(token.to_le_bytes()));
    }
    Ok(DataSet {
        name: spec.name.clone(),
        train: Split::Text(train),
        test: Split::Text(test),
        form: Form::Text { vocabulary, length },
        checksum: crate::hex(&hasher.finalize()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::real_sets::skipped;
    use super::super::{SetName, data_dir, load};
    use super::*;

    fn spec(length: usize) -> DataSpec {
        DataSpec { length: Some(length), ..DataSpec::new(SetName::Text("a.txt".into())) }
    }

    #[test]
    fn a_sample_s_targets_are_its_tokens_one_later() {
        // 18 characters for training, two for the test; `ü` is not in the training part.
        let set = set("abcabcabcabcabcabcaü", &spec(1)).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (17, 1));
        assert_eq!(set.form.to_string(), "text in windows of 1, vocabulary of 4");
        let batch = set.test.batch(&[0], None, &Device::Cpu).unwrap();
        let Inputs::Text(tokens) = batch.inputs else { panic!("no text") };
        assert_eq!(tokens.to_vec2::<u32>().unwrap(), [[1]]);
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[UNKNOWN]]);

        let four = DataSpec { length: None, ..spec(4) };
        let error = super::set("abcabcabcabcabcabcaü", &four).unwrap_err().to_string();
        assert!(error.contains("data.length: 128 given, expected less than the 18"), "{error}");
        let text = "abcd".repeat(30);
        let set = super::set(&text, &spec(4)).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (26, 2));
        let batch = set.train.batch(&[25, 0], None, &Device::Cpu).unwrap();
        let Inputs::Text(tokens) = batch.inputs else { panic!("no text") };
        assert_eq!(tokens.to_vec2::<u32>().unwrap(), [[1, 2, 3, 4]; 2]);
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[2, 3, 4, 1]; 2]);
        assert_eq!(batch.units, 8);
    }

    #[test]
    fn limits_are_in_windows_and_what_is_read_decides_the_checksum() {
        let text = "abcd".repeat(30);
        let limited = DataSpec { train_limit: Some(3), test_limit: Some(9), ..spec(4) };
        let set = |spec: &DataSpec| super::set(&text, spec).unwrap();
        assert_eq!((set(&limited).train.len(), set(&limited).test.len()), (3, 2));
        assert_ne!(set(&limited).checksum, set(&spec(4)).checksum);
        assert_eq!(set(&spec(4)).checksum, set(&spec(4)).checksum);
    }

    #[test]
    fn a_file_that_is_no_text_or_not_there_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let spec = DataSpec { base: dir.path().into(), ..spec(4) };
        let error = || load(&spec, None).unwrap_err().to_string();
        assert!(error().contains("a.txt: cannot be read"), "{}", error());
        for bytes in [&[0xff, 0xfe][..], &[0x1f, 0x8b, 8]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(error().contains("a.txt: whole UTF-8 text expected"), "{}", error());
        }
        std::fs::write(&path, "").unwrap();
        assert!(error().contains("data.length: 4 given"), "{}", error());
        std::fs::write(&path, "ab".repeat(50)).unwrap();
        assert_eq!(load(&spec, None).unwrap().train.len(), 22);
    }

    #[test]
    fn the_real_text_is_whole() {
        let name = "tinyshakespeare";
        let Some(dir) = data_dir(None).filter(|dir| dir.join(name).is_dir()) else {
            return skipped("tinyshakespeare is not in PACKLIGHT_DATA");
        };
        let spec = DataSpec { length: Some(256), ..DataSpec::new(name.parse().unwrap()) };
        let set = load(&spec, Some(&dir)).unwrap();
        // Of 1,115,394 characters, 1,003,854 and 111,540; 65 are different.
        assert_eq!((set.train.len(), set.test.len()), (3921, 435));
        assert_eq!(set.form.to_string(), "text in windows of 256, vocabulary of 66");
        let Split::Text(test) = &set.test else { panic!("no text") };
        assert!(!test.tokens.contains(&UNKNOWN));
    }
}
