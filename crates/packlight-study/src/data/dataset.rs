//! A loaded data set.

use std::fmt;

use packlight_nn::ModelSpec;
use packlight_nn::model::Takes;
use sha2::{Digest, Sha256};

use super::images::Images;
use super::raw::{Raw, RawSet};
use super::resize::Resize;
use super::{Augment, DataSpec, Error, Normalise, Result, SetName, Split};

/// A loaded data set, which makes batches.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Which set it is.
    pub name: SetName,
    /// The training samples.
    pub train: Split,
    /// The test samples.
    pub test: Split,
    /// What its samples are.
    pub form: Form,
    /// SHA-256, in hexadecimal, of the samples of both parts as they were loaded (images before
    /// resizing and normalisation).
    pub checksum: String,
}

/// What the samples of a set are.
#[derive(Debug, Clone)]
pub enum Form {
    /// Images, each of one class.
    Images {
        /// The names of the classes, by label.
        class_names: Vec<String>,
        /// The channels, height and width of the images in a batch.
        shape: [usize; 3],
        /// The normalisation of the pixels, per channel.
        normalise: Normalise,
    },
    /// Pairs of sequences of tokens.
    Pairs {
        /// The number of different tokens in a source.
        source_vocabulary: usize,
        /// The number of different tokens in a target.
        target_vocabulary: usize,
    },
    /// Text.
    Text {
        /// The number of different tokens.
        vocabulary: usize,
        /// The number of tokens in a sample.
        length: usize,
    },
    /// Texts of one class each.
    Labelled {
        /// The names of the classes, by label.
        class_names: Vec<String>,
        /// The number of different tokens.
        vocabulary: usize,
        /// The most tokens of a text.
        length: usize,
    },
}

impl DataSet {
    /// The model's description, completed with the sizes of these data.
    ///
    /// # Errors
    /// Returns an error if the model takes other data or other images, or its description
    /// contradicts the data.
    pub fn model(&self, spec: &ModelSpec) -> crate::Result<ModelSpec> {
        match self.form {
            Form::Images { ref class_names, shape: [channels, height, width], .. } => {
                let model = spec.for_images(channels, height, class_names.len())?;
                if height != width && spec.takes() != Takes::Images {
                    let (set, model) = (self.name.to_string(), spec.name());
                    return Err(Error::NotSquare { set, model, height, width }.into());
                }
                Ok(model)
            }
            Form::Pairs { source_vocabulary, target_vocabulary } => {
                Ok(spec.for_sequences(source_vocabulary, target_vocabulary)?)
            }
            Form::Text { vocabulary, .. } => Ok(spec.for_text(vocabulary)?),
            Form::Labelled { ref class_names, vocabulary, .. } => {
                Ok(spec.for_labelled_text(vocabulary, class_names.len())?)
            }
        }
    }
}

impl DataSet {
    /// Whether its samples are parts of a text, whose models are judged by their perplexity, too.
    pub fn is_text(&self) -> bool {
        matches!(self.form, Form::Text { .. })
    }
}

impl fmt::Display for Form {
    /// Formats it as in "3 x 32 x 32, 10 classes".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Images { class_names, shape: [channels, height, width], .. } => {
                write!(f, "{channels} x {height} x {width}, {} classes", class_names.len())
            }
            Form::Pairs { source_vocabulary, target_vocabulary } => {
                write!(f, "sequences, vocabularies of {source_vocabulary} and {target_vocabulary}")
            }
            Form::Text { vocabulary, length } => {
                write!(f, "text in windows of {length}, vocabulary of {vocabulary}")
            }
            Form::Labelled { class_names, vocabulary, length } => {
                let classes = class_names.len();
                write!(
                    f,
                    "texts of at most {length} tokens, vocabulary of {vocabulary}, {classes} classes"
                )
            }
        }
    }
}

impl DataSet {
    /// Converts the images that a loader read to the form that `spec` asks for.
    pub(super) fn new(mut set: RawSet, spec: &DataSpec) -> Result<Self> {
        set.train.truncate(spec.train_limit);
        set.test.truncate(spec.test_limit);
        let [own_channels, own_height, own_width] = set.train.shape;
        if set.test.shape != set.train.shape {
            return Err(Error::setting(
                "name",
                format!("a set whose test images are {:?} as its training images", set.train.shape),
                format!("{:?}", set.test.shape),
            ));
        }
        let channels = spec.channels.unwrap_or(own_channels);
        if channels < own_channels {
            return Err(Error::setting(
                "channels",
                format!("{own_channels}, since {} has colours", spec.name),
                channels,
            ));
        }
        let usual = (spec.name == SetName::Digits).then_some(32);
        let (height, width) =
            spec.size.or(usual).map_or((own_height, own_width), |size| (size, size));
        if spec.augment.pad >= height.min(width) {
            return Err(Error::setting(
                "augment.pad",
                format!("less than the images' {height} x {width} pixels"),
                spec.augment.pad,
            ));
        }
        let checksum = checksum(&[&set.train, &set.test]);
        let normalise = match spec.normalise.clone().or(spec.name.normalise()) {
            Some(normalise) => normalise,
            None => {
                let resize = Resize::new((own_height, own_width), (height, width));
                let count = set.train.labels.len();
                let images = (0..count).map(|index| resize.image(&set.train.values(index)));
                Normalise::of(images, own_channels)?
            }
        }
        .for_channels(channels)?;
        let split = |raw, augment| {
            Split::Images(Images::new(raw, (height, width), normalise.clone(), augment))
        };
        Ok(Self {
            name: spec.name.clone(),
            train: split(set.train, spec.augment),
            test: split(set.test, Augment::default()),
            form: Form::Images {
                class_names: set.class_names,
                shape: [channels, height, width],
                normalise,
            },
            checksum,
        })
    }
}

fn checksum(parts: &[&Raw]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        for length in part.shape.iter().chain([&part.labels.len()]) {
            hasher.update((*length as u64).to_le_bytes());
        }
        hasher.update(&part.pixels);
        part.labels.iter().for_each(|label| hasher.update(label.to_le_bytes()));
    }
    crate::hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use packlight_kernels::rng::{Key, Purpose};
    use packlight_nn::model::Inputs;

    use super::super::{Batch, load};
    use super::*;

    fn digits(change: impl Fn(&mut DataSpec)) -> Result<DataSet> {
        let mut spec = DataSpec::new(SetName::Digits);
        change(&mut spec);
        load(&spec, None)
    }

    fn values(split: &Split, indices: &[usize], key: Option<Key>) -> Vec<f32> {
        let batch = split.batch(indices, key, &Device::Cpu).unwrap();
        let Inputs::Images(images) = batch.inputs else { panic!("no images") };
        images.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn digits_are_32_by_32_and_normalised() {
        let set = digits(|_| ()).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (1437, 360));
        assert_eq!(set.form.to_string(), "1 x 32 x 32, 10 classes");
        let all: Vec<usize> = (0..set.train.len()).collect();
        let Batch { inputs, targets, units } = set.train.batch(&all, None, &Device::Cpu).unwrap();
        let Inputs::Images(images) = inputs else { panic!("no images") };
        assert_eq!((images.dims(), units), (&[1437, 1, 32, 32][..], 1437));
        let Split::Images(split) = &set.train else { panic!("no images") };
        assert_eq!(targets.to_vec1::<u32>().unwrap(), split.labels());
        let mean = images.mean_all().unwrap().to_scalar::<f32>().unwrap();
        let square = images.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(mean.abs() < 1e-3 && (square - 1.0).abs() < 1e-3, "{mean} {square}");
    }

    #[test]
    fn plain_digits_are_their_pixels_in_sixteenths() {
        let plain = Normalise { mean: vec![0.0], std: vec![1.0] };
        let set = digits(|spec| {
            spec.size = Some(8);
            spec.channels = Some(3);
            spec.normalise = Some(plain.clone());
        })
        .unwrap();
        let image = values(&set.train, &[0], None);
        assert_eq!(image.len(), 192);
        assert_eq!(
            image[..6].iter().map(|v| v * 16.0).collect::<Vec<_>>(),
            [0., 0., 5., 13., 9., 1.]
        );
        assert_eq!((&image[..64], &image[..64]), (&image[64..128], &image[128..]));
    }

    #[test]
    fn a_batch_does_not_depend_on_its_neighbours() {
        let set = digits(|_| ()).unwrap();
        let (one, two) = (values(&set.test, &[7], None), values(&set.test, &[9], None));
        assert_eq!(values(&set.test, &[7, 9, 7], None), [one.clone(), two, one].concat());
    }

    #[test]
    fn only_training_images_are_varied_and_only_with_a_key() {
        let set = digits(|spec| spec.augment = Augment { pad: 4, flip: true }).unwrap();
        let key = Key::new(5, Purpose::Augment);
        let indices: Vec<usize> = (0..32).collect();
        let varied = values(&set.train, &indices, Some(key.step(1)));
        assert_eq!(varied, values(&set.train, &indices, Some(key.step(1))));
        assert_ne!(varied, values(&set.train, &indices, Some(key.step(2))));
        assert_ne!(varied, values(&set.train, &indices, None));
        assert_eq!(values(&set.test, &indices, Some(key)), values(&set.test, &indices, None));
        // The part of the window outside the image is black before normalisation.
        let Form::Images { normalise, .. } = &set.form else { panic!("no images") };
        let black = -normalise.mean[0] / normalise.std[0];
        assert!(varied.iter().all(|&value| value >= black - 1e-6));
    }

    #[test]
    fn the_checksum_is_that_of_what_was_loaded() {
        let whole = digits(|_| ()).unwrap().checksum;
        assert_eq!(whole.len(), 64);
        assert_eq!(whole, digits(|spec| spec.size = Some(16)).unwrap().checksum);
        let cut = digits(|spec| spec.test_limit = Some(359)).unwrap();
        assert_eq!(cut.test.len(), 359);
        assert_ne!(whole, cut.checksum);
    }

    #[test]
    fn what_does_not_fit_the_set_is_refused() {
        let refused = |change: &dyn Fn(&mut DataSpec), word: &str| {
            let error = digits(change).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&|spec| spec.augment.pad = 32, "data.augment.pad: 32 given");
        refused(
            &|spec| spec.normalise = Some(Normalise { mean: vec![0.0; 3], std: vec![1.0] }),
            "data.normalise.mean: [0.0, 0.0, 0.0] given, expected 1 finite numbers",
        );
        let set = digits(|_| ()).unwrap();
        assert!(set.test.batch(&[360], None, &Device::Cpu).is_err());
        assert!(set.test.batch(&[], None, &Device::Cpu).is_err());
    }
}
