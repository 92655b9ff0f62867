//! The data sets, by name, and the facts about each.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use packlight_spec::{OR, nearest};
use serde::{Deserialize, Serialize};

use super::{Error, Normalise};

/// The name of a data set: `digits`, `mnist`, `fashion-mnist`, `cifar-10`, `cifar-100` or
/// `folder:PATH` of images, `reverse` or `multi30k` of pairs of sequences, `tinyshakespeare` or
/// `text:PATH` of text, `labelled:PATH` of texts of one class each; or several of any kind, as in
/// `folder:pets or fashion-mnist or digits`, which means the first that exists. In a path, ` or ` is part of
/// the path unless a set's name follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SetName {
    /// UCI handwritten digits, 8 x 8 grey, built in.
    Digits,
    /// MNIST, 28 x 28 grey.
    Mnist,
    /// Fashion-MNIST, 28 x 28 grey.
    FashionMnist,
    /// CIFAR-10, 32 x 32 colour.
    Cifar10,
    /// CIFAR-100 with its 100 fine labels, 32 x 32 colour.
    Cifar100,
    /// Pairs of a random sequence and its reversal, generated.
    Reverse,
    /// Multi30k, translation from German to English.
    Multi30k,
    /// Shakespeare's plays, a part of them, as one text of 1.1 million characters.
    TinyShakespeare,
    /// A file of text.
    Text(PathBuf),
    /// A folder with texts of one class each.
    Labelled(PathBuf),
    /// A folder of PNG and JPEG images by class, each as a viewer shows it on a white page.
    Folder(PathBuf),
    /// The first of these that exists.
    FirstOf(Vec<SetName>),
}

/// The prefix of the path of a [`SetName::Folder`].
const FOLDER: &str = "folder:";

/// The prefix of the path of a [`SetName::Text`].
const TEXT: &str = "text:";

/// The prefix of the path of a [`SetName::Labelled`].
const LABELLED: &str = "labelled:";

/// All sets except those that are named by a path.
const NAMED: [SetName; 8] = [
    SetName::Digits,
    SetName::Mnist,
    SetName::FashionMnist,
    SetName::Cifar10,
    SetName::Cifar100,
    SetName::Reverse,
    SetName::Multi30k,
    SetName::TinyShakespeare,
];

impl SetName {
    /// The name in a study; where a path follows, the prefix of it.
    fn name(&self) -> &'static str {
        match self {
            SetName::Digits => "digits",
            SetName::Mnist => "mnist",
            SetName::FashionMnist => "fashion-mnist",
            SetName::Cifar10 => "cifar-10",
            SetName::Cifar100 => "cifar-100",
            SetName::Reverse => "reverse",
            SetName::Multi30k => "multi30k",
            SetName::TinyShakespeare => "tinyshakespeare",
            SetName::Text(_) => TEXT,
            SetName::Labelled(_) => LABELLED,
            SetName::Folder(_) => FOLDER,
            SetName::FirstOf(_) => "",
        }
    }

    /// Whether it holds sequences of tokens rather than images.
    pub fn is_of_sequences(&self) -> bool {
        matches!(self, SetName::Reverse | SetName::Multi30k) || self.is_text()
    }

    fn is_text(&self) -> bool {
        matches!(self, SetName::TinyShakespeare | SetName::Text(_) | SetName::Labelled(_))
    }

    /// Whether it, or one of several, holds text.
    pub(super) fn may_be_text(&self) -> bool {
        match self {
            SetName::FirstOf(sets) => sets.iter().any(SetName::is_text),
            set => set.is_text(),
        }
    }

    /// The same set, with each path replaced.
    pub(crate) fn map_paths(&self, map: &impl Fn(&Path) -> PathBuf) -> Self {
        match self {
            SetName::Folder(path) => SetName::Folder(map(path)),
            SetName::Text(path) => SetName::Text(map(path)),
            SetName::Labelled(path) => SetName::Labelled(map(path)),
            SetName::FirstOf(sets) => {
                SetName::FirstOf(sets.iter().map(|set| set.map_paths(map)).collect())
            }
            named => named.clone(),
        }
    }

    /// Whether the set needs no files.
    pub(super) fn is_built_in(&self) -> bool {
        matches!(self, SetName::Digits | SetName::Reverse)
    }

    /// The folders within the data folder that may hold the set: its own name, and the folder that
    /// its archive or torchvision makes, either directly or within the folder of its name.
    pub(super) fn folders(&self) -> &'static [&'static str] {
        match self {
            SetName::Mnist => &["mnist", "mnist/MNIST/raw", "MNIST/raw"],
            SetName::FashionMnist => {
                &["fashion-mnist", "fashion-mnist/FashionMNIST/raw", "FashionMNIST/raw"]
            }
            SetName::Cifar10 => {
                &["cifar-10", "cifar-10/cifar-10-batches-bin", "cifar-10-batches-bin"]
            }
            SetName::Cifar100 => &["cifar-100", "cifar-100/cifar-100-binary", "cifar-100-binary"],
            SetName::Multi30k => &["multi30k"],
            SetName::TinyShakespeare => &["tinyshakespeare"],
            SetName::Digits
            | SetName::Reverse
            | SetName::Text(_)
            | SetName::Labelled(_)
            | SetName::Folder(_)
            | SetName::FirstOf(_) => &[],
        }
    }

    /// The prefix of one of the set's file names, which identifies its folder.
    pub(super) fn begins_with(&self) -> &'static str {
        match self {
            SetName::Mnist | SetName::FashionMnist => "train-images",
            SetName::Cifar10 => "test_batch.bin",
            SetName::Cifar100 => "train.bin",
            SetName::Multi30k => "train.de",
            SetName::TinyShakespeare => "input.txt",
            SetName::Digits
            | SetName::Reverse
            | SetName::Text(_)
            | SetName::Labelled(_)
            | SetName::Folder(_)
            | SetName::FirstOf(_) => "",
        }
    }

    /// The mean and standard deviation of the set's training images that are in common use; `None`
    /// if they are computed.
    pub(super) fn normalise(&self) -> Option<Normalise> {
        let (mean, std): (&[f32], &[f32]) = match self {
            SetName::Mnist => (&[0.1307], &[0.3081]),
            SetName::FashionMnist => (&[0.2860], &[0.3530]),
            SetName::Cifar10 => (&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]),
            SetName::Cifar100 => (&[0.5071, 0.4865, 0.4409], &[0.2673, 0.2564, 0.2762]),
            SetName::Digits
            | SetName::Folder(_)
            | SetName::Reverse
            | SetName::Multi30k
            | SetName::TinyShakespeare
            | SetName::Text(_)
            | SetName::Labelled(_)
            | SetName::FirstOf(_) => return None,
        };
        Some(Normalise { mean: mean.to_vec(), std: std.to_vec() })
    }

    /// The names of the classes, if the set's own files do not have them.
    pub(super) fn class_names(&self) -> Vec<String> {
        let names: &[&str] = match self {
            SetName::FashionMnist => &[
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ],
            SetName::Cifar10 => &[
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ],
            SetName::Digits | SetName::Mnist => &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            SetName::Cifar100 => return (0..100).map(|class| class.to_string()).collect(),
            SetName::Folder(_)
            | SetName::Reverse
            | SetName::Multi30k
            | SetName::TinyShakespeare
            | SetName::Text(_)
            | SetName::Labelled(_)
            | SetName::FirstOf(_) => &[],
        };
        names.iter().map(ToString::to_string).collect()
    }
}

impl FromStr for SetName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let names = alternatives(name);
        if names.len() > 1 {
            let sets = names.into_iter().map(str::parse).collect::<Result<_, _>>();
            return sets.map(SetName::FirstOf);
        }
        if let Some(path) = name.strip_prefix(FOLDER).filter(|path| !path.is_empty()) {
            return Ok(SetName::Folder(path.into()));
        }
        if let Some(path) = name.strip_prefix(TEXT).filter(|path| !path.is_empty()) {
            return Ok(SetName::Text(path.into()));
        }
        if let Some(path) = name.strip_prefix(LABELLED).filter(|path| !path.is_empty()) {
            return Ok(SetName::Labelled(path.into()));
        }
        if let Some(set) = NAMED.iter().find(|set| set.name() == name) {
            return Ok(set.clone());
        }
        let wanted = name.to_lowercase();
        let nearest = nearest(&wanted, NAMED.iter().map(SetName::name));
        Err(Error::UnknownSet { name: name.to_owned(), nearest })
    }
}

/// Splits a text into the names of its alternatives.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut names, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices(OR) {
        let (before, after) = (&text[start..at], &text[at + OR.len()..]);
        if !begins_path(before) || begins_set(after) {
            names.push(before.trim());
            start = at + OR.len();
        }
    }
    names.push(if names.is_empty() { text } else { text[start..].trim() });
    names
}

/// Whether a text begins with the prefix of a path.
fn begins_path(text: &str) -> bool {
    [FOLDER, TEXT, LABELLED].iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a text begins with the name of a set.
fn begins_set(text: &str) -> bool {
    let text = text.trim_start();
    let named = |set: &SetName| {
        let rest = text.strip_prefix(set.name());
        rest.is_some_and(|rest| rest.trim().is_empty() || rest.starts_with(OR))
    };
    begins_path(text) || NAMED.iter().any(named)
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            SetName::Folder(path) | SetName::Text(path) | SetName::Labelled(path) => {
                path.display().fmt(f)
            }
            SetName::FirstOf(sets) => {
                let names: Vec<String> = sets.iter().map(SetName::to_string).collect();
                f.write_str(&names.join(OR))
            }
            _ => Ok(()),
        }
    }
}

impl TryFrom<String> for SetName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<SetName> for String {
    fn from(name: SetName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let others = [
            "folder:pets/small",
            "fashion-mnist or digits",
            "folder:pets or digits",
            "text:own.txt or tinyshakespeare",
            "labelled:reviews",
            "reverse or folder:cats or dogs or folder:b or multi30k",
        ];
        for name in NAMED.iter().map(SetName::name).chain(others) {
            assert_eq!(name.parse::<SetName>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_choice_takes_every_kind_of_set() {
        let folder = |path: &str| SetName::Folder(path.into());
        let choice = |text: &str| match text.parse() {
            Ok(SetName::FirstOf(sets)) => sets,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(choice("reverse or digits"), [SetName::Reverse, SetName::Digits]);
        assert_eq!(choice("folder:x y or  digits"), [folder("x y"), SetName::Digits]);
        assert_eq!(choice("mnist or folder:x"), [SetName::Mnist, folder("x")]);
        assert_eq!(choice("folder:x or folder:y"), [folder("x"), folder("y")]);
        let own = SetName::Text("now or never.txt".into());
        let sets = [own, folder("x"), SetName::TinyShakespeare];
        assert_eq!(choice("text:now or never.txt or folder:x or tinyshakespeare"), sets);
        let sets = [folder("cats or dogs"), SetName::Cifar10];
        assert_eq!(choice("folder:cats or dogs or cifar-10"), sets);
        for path in ["cats or dogs", "this or mnistish", "a or ", " or b"] {
            assert_eq!(format!("folder:{path}").parse::<SetName>().unwrap(), folder(path));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_and_suggests_the_nearest() {
        let error = "CIFAR10".parse::<SetName>().unwrap_err().to_string();
        assert!(error.contains("did you mean \"cifar-10\"?"), "{error}");
        assert!(error.contains("folder:PATH"), "{error}");
        let error = "imagenet".parse::<SetName>().unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
        assert!("folder:".parse::<SetName>().is_err());
        assert!("imagenet or digits".parse::<SetName>().is_err());
    }
}
