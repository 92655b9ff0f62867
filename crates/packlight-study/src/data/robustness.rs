//! Feeds random bytes to every parser, which must return an error or a complete set, and never
//! panic.

use std::path::Path;

use proptest::prelude::*;

use super::raw::Raw;
use super::vocabulary::Vocabulary;
use super::{cifar, folder, idx, jpeg, labelled, text_file};

fn whole(raw: &Raw, classes: u32) -> bool {
    raw.pixels.len() == raw.labels.len() * raw.stride()
        && !raw.labels.is_empty()
        && raw.labels.iter().all(|&label| label < classes)
}

/// A file with some bytes replaced; half of such files are also cut short or extended.
fn damaged(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = file.len();
    let edits = prop::collection::vec((0..length, any::<u8>()), 0..4);
    let kept = prop_oneof![Just(length), 0..length + 8];
    (edits, kept).prop_map(move |(edits, kept)| {
        let mut file = file.clone();
        edits.into_iter().for_each(|(place, byte)| file[place] = byte);
        file.resize(kept, 0);
        file
    })
}

fn path() -> &'static Path {
    Path::new("file")
}

proptest! {
    #[test]
    fn idx_takes_any_bytes(
        images in damaged(idx::tests::idx(&[3, 4, 5], &[8; 60])),
        labels in damaged(idx::tests::gzip(&idx::tests::idx(&[3], &[1, 2, 3]))),
    ) {
        if let Ok(raw) = idx::parse_pair((&images, path()), (&labels, path()), 10, 255) {
            prop_assert!(whole(&raw, 10));
        }
    }

    #[test]
    fn idx_takes_random_bytes(file in prop::collection::vec(any::<u8>(), 0..200), packed: bool) {
        let magic: &[u8] = if packed { &[0x1f, 0x8b, 8] } else { &[0, 0, 8, 3, 0, 0, 0] };
        let images = [magic, &file].concat();
        let labels = idx::tests::idx(&[1], &[0]);
        if let Ok(raw) = idx::parse_pair((&images, path()), (&labels, path()), 10, 255) {
            prop_assert!(whole(&raw, 10));
        }
    }

    #[test]
    fn cifar_takes_any_bytes(file in damaged(cifar::tests::records(&[&[3, 50], &[19, 99]]))) {
        if let Ok(raw) = cifar::parse(&file, &[20, 100], path()) {
            prop_assert!(whole(&raw, 100));
        }
        if let Ok(raw) = cifar::parse(&file, &[10], path()) {
            prop_assert!(whole(&raw, 10));
        }
    }

    #[test]
    fn images_take_any_bytes(
        png in damaged(folder::tests::encoded(image::ImageFormat::Png, [1, 2, 3])),
        jpeg in damaged(folder::tests::encoded(image::ImageFormat::Jpeg, [1, 2, 3])),
        random in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for file in [png, jpeg, random] {
            let _ = folder::decode_bytes(&file, path());
        }
    }

    #[test]
    fn texts_take_any_bytes(
        packed in damaged(idx::tests::gzip("Zwei Hunde …\nzwei Hunde".as_bytes())),
        plain in damaged("Zwei Hunde …\nzwei Hunde".as_bytes().to_vec()),
        random in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for file in [packed, plain, random] {
            let _ = labelled::parse(&file, path());
            let Ok(lines) = text_file::parse(&file, path()) else { continue };
            let vocabulary = Vocabulary::new(lines.iter().map(String::as_str));
            for token in lines.iter().flat_map(|line| vocabulary.tokens(line)) {
                prop_assert!((token as usize) < vocabulary.len());
            }
        }
    }

    #[test]
    fn markers_take_any_bytes(file in prop::collection::vec(any::<u8>(), 0..300)) {
        jpeg::reaches_end(&[&[0xff, 0xd8, 0xff][..], &file].concat());
    }
}
