//! Texts of one class each: a folder with `train.tsv` and `test.tsv`, in which each line is a class, a
//! tab and a text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use packlight_nn::model::{Inputs, PADDING};
use sha2::{Digest, Sha256};
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use super::dataset::{DataSet, Form};
use super::pairs::filled_up;
use super::vocabulary::{BEGIN, END, Vocabulary};
use super::{Batch, DataSpec, Error, Result, Split, text_file};

/// The file that, beside the texts, says what their tokens are.
const TOKENIZER: &str = "tokenizer.json";

/// One part of a set of texts of one class each.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// The tokens and the class of each text.
    texts: Vec<(Vec<u32>, u32)>,
}

impl Labelled {
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The class of each text.
    pub(super) fn classes(&self) -> impl Iterator<Item = u32> {
        self.texts.iter().map(|(_, class)| *class)
    }

    /// The longest text.
    pub(super) fn longest(&self) -> Vec<usize> {
        (0..self.len()).max_by_key(|&index| self.texts[index].0.len()).into_iter().collect()
    }

    /// The texts at `indices`, padded to the longest.
    pub(super) fn batch(&self, indices: &[usize], device: &Device) -> Result<Batch> {
        let texts = || indices.iter().map(|&index| &self.texts[index]);
        let classes: Vec<u32> = texts().map(|(_, class)| *class).collect();
        Ok(Batch {
            inputs: Inputs::Text(filled_up(texts().map(|(t, _)| t.clone()).collect(), device)?),
            targets: Tensor::from_vec(classes, indices.len(), device)?,
            units: indices.len() as u64,
        })
    }
}

/// Reads the two files in `folder`, which may be compressed with gzip. The classes are those of the
/// training part, in the order of their names. The tokens are those of `tokenizer.json`, if that is
/// there, as Hugging Face's tokenizers write it; otherwise the words that occur at least twice in the
/// training part, between a mark of the beginning and one of the end.
pub(super) fn load(folder: &Path, spec: &DataSpec) -> Result<DataSet> {
    let train = Lines::read(folder, "train.tsv", spec.train_limit)?;
    let test = Lines::read(folder, "test.tsv", spec.test_limit)?;
    let names: BTreeSet<&str> = train.lines.iter().map(|(class, _)| class.as_str()).collect();
    let length = spec.length.unwrap_or(DataSpec::LENGTH);
    let tokenizer = folder.join(TOKENIZER);
    let tokens = match tokenizer.is_file() {
        true => Tokens::read(tokenizer, length)?,
        false => Tokens::of(&train, length)?,
    };
    let classes: BTreeMap<&str, u32> = names.iter().copied().zip(0..).collect();
    let part = |part: &Lines| -> Result<Labelled> {
        let numbered = |(number, (class, text)): (usize, &(String, String))| {
            let Some(&class) = classes.get(class.as_str()) else {
                let expected = format!("a class of the training part in line {}", number + 1);
                let remedy = "correct it, or add it to the training part";
                return Err(Error::corrupt(&part.path, expected, format!("\"{class}\""), remedy));
            };
            Ok((tokens.of_text(text)?, class))
        };
        Ok(Labelled { texts: part.lines.iter().enumerate().map(numbered).collect::<Result<_>>()? })
    };
    let (train_part, test_part) = (part(&train)?, part(&test)?);
    Ok(DataSet {
        name: spec.name.clone(),
        checksum: checksum([&train_part, &test_part]),
        train: Split::Labelled(train_part),
        test: Split::Labelled(test_part),
        form: Form::Labelled {
            class_names: names.into_iter().map(str::to_owned).collect(),
            vocabulary: tokens.count(),
            length,
        },
    })
}

fn checksum(parts: [&Labelled; 2]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.texts.len() as u64).to_le_bytes());
        for (tokens, class) in &part.texts {
            hasher.update((tokens.len() as u64).to_le_bytes());
            tokens.iter().chain([class]).for_each(|number| hasher.update(number.to_le_bytes()));
        }
    }
    crate::hex(&hasher.finalize())
}

/// The classes and texts of one part.
struct Lines {
    path: PathBuf,
    lines: Vec<(String, String)>,
}

impl Lines {
    fn read(folder: &Path, name: &str, limit: Option<usize>) -> Result<Self> {
        let path = text_file::find(folder, name)?;
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let mut lines = parse(&bytes, &path)?;
        lines.truncate(limit.unwrap_or(usize::MAX));
        Ok(Self { path, lines })
    }
}

/// Splits a file's bytes into classes and texts, one or more.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<(String, String)>> {
    let expected = "a class, a tab and a text";
    let remedy = "write each text in a line of its own, as CLASS<TAB>TEXT";
    let lines = text_file::parse(bytes, path)?;
    if lines.is_empty() {
        return Err(Error::corrupt(path, expected, "no line", remedy));
    }
    let split = |(number, line): (usize, &String)| match line.split_once('\t') {
        Some((class, text)) if !class.trim().is_empty() => {
            Ok((class.trim().to_owned(), text.to_owned()))
        }
        _ => {
            let expected = format!("{expected} in line {}", number + 1);
            Err(Error::corrupt(path, expected, "something else", remedy))
        }
    };
    lines.iter().enumerate().map(split).collect()
}

/// What turns a text into tokens.
enum Tokens {
    /// Words, of which this many are kept.
    Words(Vocabulary, usize),
    /// A tokenizer, and the file that it is from.
    Tokenizer(Box<Tokenizer>, PathBuf),
}

impl Tokens {
    /// The words of the training part, so many that texts have at most `length` tokens.
    fn of(train: &Lines, length: usize) -> Result<Self> {
        let Some(words) = length.checked_sub(2).filter(|&words| words > 0) else {
            return Err(Error::setting("length", "3 or more: two marks and a word", length));
        };
        let texts = train.lines.iter().map(|(_, text)| text.as_str());
        Ok(Tokens::Words(Vocabulary::new(texts), words))
    }

    /// The tokenizer in the file at `path`, which cuts texts after `length` tokens.
    fn read(path: PathBuf, length: usize) -> Result<Self> {
        let whole = "a tokenizer of Hugging Face's tokenizers";
        let remedy = "save it again, or remove it to have words for tokens";
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let mut tokenizer = Tokenizer::from_bytes(bytes)
            .map_err(|e| Error::corrupt(&path, whole, format!("\"{e}\""), remedy))?;
        let marks = tokenizer.get_post_processor().map_or(0, |marks| marks.added_tokens(false));
        if length <= marks {
            let expected = format!("more than the {marks} marks of {}", path.display());
            return Err(Error::setting("length", expected, length));
        }
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: length, ..Default::default() }))
            .map_err(|e| Error::corrupt(&path, whole, format!("\"{e}\""), remedy))?;
        Ok(Tokens::Tokenizer(Box::new(tokenizer), path))
    }

    /// The number of different tokens.
    fn count(&self) -> usize {
        match self {
            Tokens::Words(vocabulary, _) => vocabulary.len(),
            Tokens::Tokenizer(tokenizer, _) => {
                tokenizer.get_vocab(true).into_values().max().map_or(0, |last| last as usize + 1)
            }
        }
    }

    fn of_text(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Tokens::Words(vocabulary, most) => {
                let words = vocabulary.tokens(text).into_iter().take(*most);
                Ok([BEGIN].into_iter().chain(words).chain([END]).collect())
            }
            Tokens::Tokenizer(tokenizer, path) => {
                let remedy = "change the text or the tokenizer";
                let encoded = tokenizer.encode(text, true).map_err(|e| {
                    Error::corrupt(
                        path,
                        format!("tokens of \"{text}\""),
                        format!("\"{e}\""),
                        remedy,
                    )
                })?;
                let tokens = encoded.get_ids().to_vec();
                if tokens.is_empty() || tokens.contains(&PADDING) {
                    let expected = format!("tokens of \"{text}\", from {} on", PADDING + 1);
                    return Err(Error::corrupt(path, expected, format!("{tokens:?}"), remedy));
                }
                Ok(tokens)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SetName, load as load_set};
    use super::*;

    const TRAIN: &str = "good\ta fine film , a fine one\nbad\ta dull film , a dull one\n";
    const TEST: &str = "bad\ta dull , dull tale\ngood\tfine\n";

    /// Words and a mark at either end, as `BertTokenizerFast` saves them, but few of them.
    const WORDS: &str = r###"{
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]
        },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "dull": 5, "fi": 6,
                      "##ne": 7, "film": 9}
        }
    }"###;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn of(dir: &tempfile::TempDir, length: Option<usize>) -> Result<DataSet> {
        let name = SetName::Labelled(dir.path().into());
        load_set(&DataSpec { length, ..DataSpec::new(name) }, None)
    }

    fn tokens(split: &Split) -> (Vec<Vec<u32>>, Vec<u32>) {
        let indices: Vec<usize> = (0..split.len()).collect();
        let batch = split.batch(&indices, None, &Device::Cpu).unwrap();
        assert_eq!(batch.units as usize, indices.len());
        let Inputs::Text(tokens) = batch.inputs else { panic!("no text") };
        (tokens.to_vec2().unwrap(), batch.targets.to_vec1().unwrap())
    }

    #[test]
    fn tokens_are_the_words_of_the_training_part_between_two_marks() {
        let dir = folder(&[("train.tsv", TRAIN), ("test.tsv", TEST)]);
        let set = of(&dir, None).unwrap();
        let said = "texts of at most 128 tokens, vocabulary of 10, 2 classes";
        assert_eq!(set.form.to_string(), said);
        let Form::Labelled { class_names, .. } = &set.form else { panic!("no classes") };
        assert_eq!(class_names, &["bad", "good"]);
        // By how often they occur, then by name: a `,` dull film fine one.
        let (rows, classes) = tokens(&set.test);
        assert_eq!(rows, [[1, 4, 6, 5, 6, 3, 2], [1, 8, 2, 0, 0, 0, 0]]);
        assert_eq!(classes, [0, 1]);
        let short = of(&dir, Some(4)).unwrap();
        assert_eq!(tokens(&short.test).0, [[1, 4, 6, 2], [1, 8, 2, 0]]);
        assert_ne!(short.checksum, set.checksum);
    }

    #[test]
    fn tokens_are_those_of_a_tokenizer_that_is_there() {
        let dir = folder(&[("train.tsv", TRAIN), ("test.tsv", TEST), (TOKENIZER, WORDS)]);
        let set = of(&dir, None).unwrap();
        let said = "texts of at most 128 tokens, vocabulary of 10, 2 classes";
        assert_eq!(set.form.to_string(), said);
        assert_eq!(tokens(&set.test).0, [[1, 4, 5, 3, 5, 3, 2], [1, 6, 7, 2, 0, 0, 0]]);
        let short = of(&dir, Some(4)).unwrap();
        assert_eq!(tokens(&short.test).0, [[1, 4, 5, 2], [1, 6, 7, 2]]);
    }

    #[test]
    fn what_is_wrong_is_refused_by_file_and_line() {
        let padded = WORDS.replace("\"a\": 4", "\"a\": 0");
        for (files, length, words) in [
            (&[("train.tsv", TRAIN)][..], None, "the file test.tsv or test.tsv.gz"),
            (
                &[("train.tsv", TRAIN), ("test.tsv", "bad\tx\nworse\ty")],
                None,
                "test.tsv: a class of the training part in line 2 expected, \"worse\" found",
            ),
            (
                &[("train.tsv", "good\tx\nbad"), ("test.tsv", TEST)],
                None,
                "train.tsv: a class, a tab and a text in line 2 expected",
            ),
            (&[("train.tsv", ""), ("test.tsv", TEST)], None, "no line found"),
            (&[("train.tsv", TRAIN), ("test.tsv", TEST)], Some(2), "data.length: 2 given"),
            (
                &[("train.tsv", TRAIN), ("test.tsv", TEST), (TOKENIZER, "{}")],
                None,
                "tokenizer.json: a tokenizer of Hugging Face's tokenizers expected",
            ),
            (
                &[("train.tsv", TRAIN), ("test.tsv", TEST), (TOKENIZER, WORDS)],
                Some(2),
                "data.length: 2 given, expected more than the 2 marks",
            ),
            (
                &[("train.tsv", TRAIN), ("test.tsv", TEST), (TOKENIZER, &padded)],
                None,
                "from 1 on expected",
            ),
        ] {
            let error = of(&folder(files), length).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
