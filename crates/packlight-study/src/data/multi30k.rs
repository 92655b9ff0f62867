//! Multi30k, German to English (Elliott et al., "Multi30K: multilingual English-German image
//! descriptions", 2016): one sentence a line in `train` and `test_2016_flickr`, with a file
//! extension for each language.

use std::path::Path;
use std::sync::Arc;

use super::dataset::DataSet;
use super::pairs::{self, Pairs};
use super::text_file::{find, lines};
use super::vocabulary::Vocabulary;
use super::{DataSpec, Error, Result};

/// Pairs with a sentence longer than this are left out.
const LONGEST: usize = 100;

/// Reads the four files in `folder`, which may be compressed with gzip. The vocabulary is the words
/// that occur at least twice in the training sentences.
pub(super) fn load(folder: &Path, spec: &DataSpec) -> Result<DataSet> {
    let train = Texts::read(folder, "train", spec.train_limit)?;
    let test = Texts::read(folder, "test_2016_flickr", spec.test_limit)?;
    let [german, english] = [&train.german, &train.english]
        .map(|lines| Vocabulary::new(lines.iter().map(String::as_str)));
    let words: Arc<[String]> = english.words().into();
    let tokens = |texts: Texts| {
        let lines = texts.german.iter().zip(texts.english);
        let pairs = lines.map(|(source, text)| {
            let target = english.tokens(&text);
            ((german.tokens(source), target), text)
        });
        let short = |((source, target), _): &((Vec<u32>, Vec<u32>), String)| {
            (1..=LONGEST).contains(&source.len()) && target.len() <= LONGEST
        };
        let (pairs, references) = pairs.filter(short).unzip();
        Pairs::new(pairs).with_texts(references, words.clone())
    };
    let (train, test) = (tokens(train), tokens(test));
    for (part, name) in [(&train, "train"), (&test, "test_2016_flickr")] {
        if part.len() == 0 {
            let expected = format!("a sentence of 1 to {LONGEST} words");
            return Err(Error::damaged(&folder.join(name), expected, "none"));
        }
    }
    Ok(pairs::set(train, test, (german.len(), english.len()), spec))
}

/// The sentences of one part.
struct Texts {
    german: Vec<String>,
    english: Vec<String>,
}

impl Texts {
    fn read(folder: &Path, part: &str, limit: Option<usize>) -> Result<Self> {
        let german = lines(&find(folder, &format!("{part}.de"))?)?;
        let path = find(folder, &format!("{part}.en"))?;
        let english = lines(&path)?;
        if german.len() != english.len() {
            let expected = format!("as many lines as in German, {},", german.len());
            return Err(Error::damaged(&path, expected, english.len().to_string()));
        }
        let limited =
            |lines: Vec<String>| lines.into_iter().take(limit.unwrap_or(usize::MAX)).collect();
        Ok(Self { german: limited(german), english: limited(english) })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use packlight_nn::model::Inputs;

    use super::super::idx::tests::gzip;
    use super::super::real_sets::skipped;
    use super::super::{SetName, data_dir};
    use super::*;

    fn spec() -> DataSpec {
        DataSpec::new(SetName::Multi30k)
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn plain_and_packed_texts_become_tokens() {
        let english = gzip(b"a dog .\na cat .\n");
        let dir = folder(&[
            ("train.de", "ein Hund .\neine Katze .\n".as_bytes()),
            ("train.en.gz", &english),
            ("test_2016_flickr.de", b"Hund ."),
            ("test_2016_flickr.en", b"a cow ."),
        ]);
        let set = load(dir.path(), &spec()).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (2, 1));
        let batch = set.test.batch(&[0], None, &Device::Cpu).unwrap();
        // German: `.`; English: `.` and `a`, in this order since `.` comes first.
        let Inputs::Pairs { source, target } = batch.inputs else { panic!("no pairs") };
        assert_eq!(source.to_vec2::<u32>().unwrap(), [[3, 4]]);
        assert_eq!(target.to_vec2::<u32>().unwrap(), [[1, 5, 3, 4]]);
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[5, 3, 4, 2]]);
    }

    #[test]
    fn what_is_not_whole_is_refused_by_name() {
        let whole: [(&str, &[u8]); 4] = [
            ("train.de", b"a b"),
            ("train.en", b"a b"),
            ("test_2016_flickr.de", b"a"),
            ("test_2016_flickr.en", b"a"),
        ];
        let packed = gzip(b"a b");
        let damages: [(&str, &[u8], &str); 4] = [
            ("train.en", b"a\nb", "train.en: as many lines as in German, 1, expected, 2 found"),
            ("train.de", &[0xff, 0xfe], "train.de: whole UTF-8 text expected"),
            ("train.de", &packed[..packed.len() - 9], "train.de: whole UTF-8 text expected"),
            ("test_2016_flickr.de", b"\n", "a sentence of 1 to 100 words expected, none found"),
        ];
        for (name, bytes, words) in damages {
            let mut files = whole.to_vec();
            files.iter_mut().filter(|file| file.0 == name).for_each(|file| file.1 = bytes);
            let error = load(folder(&files).path(), &spec()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = load(folder(&whole[..3]).path(), &spec()).unwrap_err().to_string();
        assert!(error.contains("test_2016_flickr.en.gz"), "{error}");
    }

    #[test]
    fn the_real_set_is_whole() {
        let Some(dir) = data_dir(None).map(|dir| dir.join("multi30k")).filter(|d| d.is_dir())
        else {
            return skipped("multi30k is not in PACKLIGHT_DATA");
        };
        let set = load(&dir, &spec()).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (29_000, 1000));
    }
}
