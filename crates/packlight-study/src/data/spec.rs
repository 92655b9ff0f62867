//! Which data set to load, and in what form.

use std::path::PathBuf;

use packlight_spec::Fault;
use serde::{Deserialize, Serialize};

use super::{Augment, Normalise, SetName};

/// Which data set to load, and in what form: the `[data]` table of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// The set.
    pub name: SetName,
    /// The height and width to resize images to, in pixels. By default, digits are resized to
    /// 32 x 32 and other sets keep their own size; a folder of images requires it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// 1 or 3 channels; 3 repeats grey images. The default is the set's own number, and 3 for a
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// The number of tokens in a sample of a text, or the most in a text of one class; 128 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// The number of training samples to use, from the first on, or to generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// The number of test samples, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Replaces the set's usual normalisation. For digits and folders, that is computed from the
    /// training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// How to augment training images.
    #[serde(default)]
    pub augment: Augment,
    /// The folder that the path of a `folder:PATH`, `text:PATH` or `labelled:PATH` is relative to: that of the
    /// study, or, if empty, the working directory.
    #[serde(skip)]
    pub base: PathBuf,
}

impl DataSpec {
    /// The number of tokens in a sample of a text, or the most in a text of one class, by default.
    pub const LENGTH: usize = 128;

    /// That number as this spec has it; `None` for sets that hold no text.
    pub fn tokens(&self) -> Option<usize> {
        self.name.may_be_text().then(|| self.length.unwrap_or(Self::LENGTH))
    }

    /// The whole set in its usual form, without augmentation.
    pub fn new(name: SetName) -> Self {
        Self {
            name,
            size: None,
            channels: None,
            length: None,
            train_limit: None,
            test_limit: None,
            normalise: None,
            augment: Augment::default(),
            base: PathBuf::new(),
        }
    }

    /// Checks the settings that can be checked before the set is read.
    ///
    /// # Errors
    /// Returns the first setting that is not valid or does not apply to the set.
    pub fn check(&self) -> Result<(), Fault> {
        if let Some(size) = self.size {
            Fault::unless_within("size", size, 1..=1024)?;
        }
        if let Some(length) = self.length {
            Fault::unless_within("length", length, 1..=1 << 16)?;
            if !self.name.may_be_text() {
                let reason = format!("{} holds no text; leave the key out", self.name);
                return Err(Fault::new("length", reason));
            }
        }
        for (key, limit) in [("train_limit", self.train_limit), ("test_limit", self.test_limit)] {
            if limit == Some(0) {
                return Err(Fault::new(key, "0 given, expected at least 1"));
            }
        }
        if let Some(other) = self.channels.filter(|channels| ![1, 3].contains(channels)) {
            return Err(Fault::new("channels", format!("{other} given, expected 1 or 3")));
        }
        let of_images = [
            ("size", self.size.is_some()),
            ("channels", self.channels.is_some()),
            ("normalise", self.normalise.is_some()),
            ("augment", self.augment != Augment::default()),
        ];
        match of_images.into_iter().find(|(_, given)| *given) {
            Some((key, _)) if self.name.is_of_sequences() => {
                Err(Fault::new(key, format!("{} holds no images; leave the key out", self.name)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_s_table_comes_back() {
        let text = "name = \"cifar-10\"\ntrain_limit = 500\n\n[normalise]\nmean = [0.485, 0.456, 0.406]\n\
                    std = [0.229, 0.224, 0.225]\n\n[augment]\npad = 4\nflip = true\n";
        let spec: DataSpec = toml::from_str(text).unwrap();
        assert_eq!((&spec.name, spec.train_limit), (&SetName::Cifar10, Some(500)));
        assert_eq!(spec.augment, Augment { pad: 4, flip: true });
        assert_eq!(toml::from_str::<DataSpec>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_refused() {
        let parsed = |text: &str| toml::from_str::<DataSpec>(text);
        assert!(parsed("name = \"digits\"\nsise = 3").unwrap_err().to_string().contains("`size`"));
        let error = parsed("name = \"digit\"").unwrap_err().to_string();
        assert!(error.contains("did you mean \"digits\"?"), "{error}");
        assert!(parsed("name = \"digits\"\naugment = { crop = 4 }").is_err());
        for (setting, key) in
            [("size = 0", "size"), ("channels = 2", "channels"), ("test_limit = 0", "test_limit")]
        {
            let error = parsed(&format!("name = \"digits\"\n{setting}")).unwrap().check();
            assert_eq!(error.unwrap_err().key, key);
        }
        let error =
            parsed("name = \"reverse\"\nsize = 8").unwrap().check().unwrap_err().to_string();
        assert_eq!(error, "size: reverse holds no images; leave the key out");
        for (name, setting, said) in [
            ("text:a", "size = 8", "size: text:a holds no images; leave the key out"),
            ("digits", "length = 8", "length: digits holds no text; leave the key out"),
            ("text:a", "length = 0", "length: 0 given, expected 1 to 65536"),
        ] {
            let spec = parsed(&format!("name = \"{name}\"\n{setting}")).unwrap();
            assert_eq!(spec.check().unwrap_err().to_string(), said);
        }
    }
}
