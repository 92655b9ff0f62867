//! The built-in set: UCI handwritten digits. `data/README.md` gives its source and licence.

use std::path::Path;

use super::Result;
use super::idx::parse_pair;
use super::raw::RawSet;

const IMAGES: &[u8] = include_bytes!("../../../../data/digits/digits-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../../../data/digits/digits-labels-idx1-ubyte.gz");

/// This many images, from the first on, are training data, and the last 360 are test data. They are
/// not shuffled, so that almost no writer is in both.
const TRAIN: usize = 1437;

/// Decompresses the set: 8 x 8 grey images with pixels from 0 to 16.
pub(super) fn load(class_names: Vec<String>) -> Result<RawSet> {
    let images = (IMAGES, Path::new("data/digits/digits-images-idx3-ubyte.gz"));
    let labels = (LABELS, Path::new("data/digits/digits-labels-idx1-ubyte.gz"));
    let mut train = parse_pair(images, labels, class_names.len(), 16)?;
    let mut test = train.clone();
    test.pixels.drain(..TRAIN * train.stride());
    test.labels.drain(..TRAIN);
    train.truncate(Some(TRAIN));
    Ok(RawSet { train, test, class_names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_whole() {
        let set = load((0..10).map(|n| n.to_string()).collect()).unwrap();
        assert_eq!((set.train.labels.len(), set.test.labels.len()), (1437, 360));
        assert_eq!((set.train.shape, set.test.shape), ([1, 8, 8], [1, 8, 8]));
        // The same as in scikit-learn's `load_digits`.
        assert_eq!(&set.train.labels[30..40], [0, 9, 5, 5, 6, 5, 0, 9, 8, 9]);
        assert_eq!(&set.train.pixels[..16], [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]);
        for part in [&set.train, &set.test] {
            assert_eq!(part.pixels.len(), part.labels.len() * 64);
            assert!((0..10).all(|class| part.labels.contains(&class)));
        }
    }
}
