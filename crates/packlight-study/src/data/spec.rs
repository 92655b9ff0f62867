//! Which data set is wanted, and in what form.

use serde::{Deserialize, Serialize};

use super::{Augment, Error, Normalise, Result, SetName};

/// Which data set is wanted, and in what form: the `[data]` table of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// The set.
    pub name: SetName,
    /// Height and width that images are resized to, in pixels. Where not given the digits become
    /// 32, and other sets keep their own size; a folder of images needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// 1 or 3 channels: grey images can be repeated in three. Where not given the set's own; a
    /// folder's images are colour unless 1 is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Only the first so many training samples are used; of a set that is made up, so many are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Only the first so many test samples are used, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Replaces the set's usual normalisation, which for digits and folders is computed from the
    /// training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// How training images are varied.
    #[serde(default)]
    pub augment: Augment,
}

impl DataSpec {
    /// The set as it usually is, whole and not augmented.
    pub fn new(name: SetName) -> Self {
        Self {
            name,
            size: None,
            channels: None,
            train_limit: None,
            test_limit: None,
            normalise: None,
            augment: Augment::default(),
        }
    }

    /// Checks what can be checked before the set is read.
    pub(super) fn check(&self) -> Result<()> {
        let within = |key, value: Option<usize>, low, high| match value {
            Some(value) if !(low..=high).contains(&value) => Err(Error::setting(
                key,
                if high == usize::MAX {
                    format!("{low} or more")
                } else {
                    format!("{low} to {high}")
                },
                value.to_string(),
            )),
            _ => Ok(()),
        };
        within("size", self.size, 1, 1024)?;
        within("train_limit", self.train_limit, 1, usize::MAX)?;
        within("test_limit", self.test_limit, 1, usize::MAX)?;
        if let Some(other) = self.channels.filter(|channels| ![1, 3].contains(channels)) {
            return Err(Error::setting("channels", "1 or 3", other.to_string()));
        }
        let of_images = [
            ("size", self.size.is_some()),
            ("channels", self.channels.is_some()),
            ("normalise", self.normalise.is_some()),
            ("augment", self.augment != Augment::default()),
        ];
        match of_images.into_iter().find(|(_, given)| *given) {
            Some((key, _)) if self.name.is_of_sequences() => {
                let expected = format!("nothing, since {} holds no images,", self.name);
                Err(Error::setting(key, expected, "a value"))
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
            assert!(error.unwrap_err().to_string().contains(&format!("`{key}`")));
        }
        let error =
            parsed("name = \"reverse\"\nsize = 8").unwrap().check().unwrap_err().to_string();
        assert!(error.contains("`size`: nothing, since reverse holds no images"), "{error}");
    }
}
