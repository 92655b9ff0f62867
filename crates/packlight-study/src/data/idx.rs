//! IDX, the format of MNIST and Fashion-MNIST: two zero bytes, a byte for the type of the numbers
//! (8: unsigned bytes), a byte for the number of axes, the length of each axis as a big-endian
//! 32-bit number, and the numbers. A file may be compressed with gzip.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::raw::{Raw, RawSet, checked_labels};
use super::{Error, Result};

/// Reads a set of the usual four files in `folder`: images and labels of `train-` and `t10k-`.
pub(super) fn load(folder: &Path, class_names: Vec<String>) -> Result<RawSet> {
    let part = |name: &str| -> Result<Raw> {
        let images = find(folder, &format!("{name}-images"), "idx3-ubyte")?;
        let labels = find(folder, &format!("{name}-labels"), "idx1-ubyte")?;
        let read = |path: &Path| std::fs::read(path).map_err(|e| Error::io(path, e));
        let images = (read(&images)?, images);
        let labels = (read(&labels)?, labels);
        parse_pair((&images.0, &images.1), (&labels.0, &labels.1), class_names.len(), 255)
    };
    Ok(RawSet { train: part("train")?, test: part("t10k")?, class_names })
}

/// Parses images and labels from the bytes of their two files, each with the path to name in
/// errors.
pub(super) fn parse_pair(
    (images, images_path): (&[u8], &Path),
    (labels, labels_path): (&[u8], &Path),
    classes: usize,
    white: u8,
) -> Result<Raw> {
    let ([count, height, width], pixels) = parse::<3>(images, images_path)?;
    let ([label_count], labels) = parse::<1>(labels, labels_path)?;
    if label_count != count {
        return Err(Error::damaged(
            labels_path,
            format!("{count} labels, one for each image of {},", images_path.display()),
            label_count.to_string(),
        ));
    }
    if let Some(&pixel) = pixels.iter().find(|&&pixel| pixel > white) {
        return Err(Error::damaged(
            images_path,
            format!("pixels from 0 to {white}"),
            pixel.to_string(),
        ));
    }
    let labels = checked_labels(labels.into_iter(), classes, labels_path)?;
    Ok(Raw { pixels, labels, shape: [1, height, width], white })
}

/// Parses a file of `RANK` axes into the lengths of the axes and the numbers.
///
/// Memory grows only as numbers are read, so a false header costs nothing.
fn parse<const RANK: usize>(file: &[u8], path: &Path) -> Result<([usize; RANK], Vec<u8>)> {
    let packed = file.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read + '_> =
        if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let unreadable = |what: String| {
        let what = if packed { format!("a whole gzip file with {what}") } else { what };
        move |e: std::io::Error| Error::damaged(path, what, format!("\"{e}\""))
    };

    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(unreadable("the 4 bytes that begin IDX".into()))?;
    let expected = [0, 0, 8, RANK as u8];
    if magic != expected {
        return Err(Error::damaged(
            path,
            format!("an IDX file of bytes with {RANK} axes (it begins with {expected:02x?})"),
            format!("{magic:02x?}"),
        ));
    }
    let mut dims = [0; RANK];
    for dim in &mut dims {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(unreadable(format!("{RANK} axis lengths")))?;
        *dim = u32::from_be_bytes(bytes) as usize;
    }
    let length = dims
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
        .filter(|&length| length > 0)
        .ok_or_else(|| Error::damaged(path, "axes that hold something", format!("{dims:?}")))?;

    // One byte more than the header says: it shows whether the file is too long, and brings a gzip
    // stream to its end, where its checksum is.
    let mut numbers = Vec::new();
    reader
        .take((length as u64).saturating_add(1))
        .read_to_end(&mut numbers)
        .map_err(unreadable(format!("{length} numbers")))?;
    if numbers.len() != length {
        let found = if numbers.len() > length { "more".into() } else { numbers.len().to_string() };
        return Err(Error::damaged(path, format!("{length} numbers, {dims:?},"), found));
    }
    Ok((dims, numbers))
}

/// Finds the file called `stem` in `folder`, under any of its usual names.
fn find(folder: &Path, stem: &str, form: &str) -> Result<PathBuf> {
    let names = [
        format!("{stem}-{form}.gz"),
        format!("{stem}-{form}"),
        format!("{stem}.{form}.gz"),
        format!("{stem}.{form}"),
    ];
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Error::corrupt(
            folder,
            format!("the file {stem}-{form}, plain or .gz,"),
            "none",
            "put all files of the set there",
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// Makes the bytes of an IDX file.
    pub(in super::super) fn idx(dims: &[u32], numbers: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
        file.extend(numbers);
        file
    }

    pub(in super::super) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn parse3(file: &[u8]) -> Result<([usize; 3], Vec<u8>)> {
        parse::<3>(file, Path::new("images"))
    }

    #[test]
    fn plain_and_packed_files_hold_the_same() {
        let numbers: Vec<u8> = (0..24).collect();
        let plain = idx(&[2, 3, 4], &numbers);
        assert_eq!(parse3(&plain).unwrap(), ([2, 3, 4], numbers.clone()));
        assert_eq!(parse3(&gzip(&plain)).unwrap(), ([2, 3, 4], numbers));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let plain = idx(&[2, 3, 4], &[7; 24]);
        for file in [gzip(&plain), plain] {
            for length in 0..file.len() {
                assert!(parse3(&file[..length]).is_err(), "{length} of {}", file.len());
            }
        }
    }

    #[test]
    fn a_flipped_bit_in_the_header_is_refused() {
        let plain = idx(&[2, 3, 4], &[7; 24]);
        for bit in 0..16 * 8 {
            let mut file = plain.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(parse3(&file).is_err(), "bit {bit}");
            assert!(parse3(&gzip(&file)).is_err(), "bit {bit}, packed");
        }
    }

    #[test]
    fn a_flipped_bit_in_a_packed_file_never_changes_what_it_holds() {
        let numbers: Vec<u8> = (0..=239).collect();
        let whole = gzip(&idx(&[10, 4, 6], &numbers));
        for bit in 0..whole.len() * 8 {
            let mut file = whole.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            // The gzip header's time and system are not part of the checksum, and have no effect.
            if let Ok(found) = parse3(&file) {
                assert_eq!(found, ([10, 4, 6], numbers.clone()), "bit {bit}");
            }
        }
    }

    #[test]
    fn absurd_headers_cost_nothing() {
        for dims in [[u32::MAX; 3], [u32::MAX, 28, 28], [u32::MAX, u32::MAX, 1], [0, 28, 28]] {
            assert!(parse3(&idx(&dims, &[0; 100])).is_err());
            assert!(parse3(&gzip(&idx(&dims, &[0; 100]))).is_err());
        }
    }

    #[test]
    fn images_and_labels_must_agree() {
        let images = idx(&[2, 1, 1], &[0, 255]);
        let pair = |labels: &[u8], white| {
            let labels = idx(&[labels.len() as u32], labels);
            parse_pair((&images, Path::new("i")), (&labels, Path::new("l")), 10, white)
        };
        assert_eq!(pair(&[3, 9], 255).unwrap().labels, [3, 9]);
        let error = pair(&[3, 9, 1], 255).unwrap_err().to_string();
        assert_eq!(
            error,
            "l: 2 labels, one for each image of i, expected, 3 found; fetch the file again"
        );
        let error = pair(&[3, 10], 255).unwrap_err().to_string();
        assert_eq!(
            error,
            "l: labels from 0 to 9 expected, label 10 at sample 1 found; fetch the file again"
        );
        assert!(pair(&[3], 255).is_err());
        assert!(pair(&[3, 9], 254).is_err());
    }

    #[test]
    fn a_set_is_found_under_its_usual_names() {
        let dir = tempfile::tempdir().unwrap();
        let images = idx(&[3, 2, 2], &[9; 12]);
        let labels = idx(&[3], &[0, 1, 2]);
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("train-images-idx3-ubyte", &images);
        put("train-labels-idx1-ubyte.gz", &gzip(&labels));
        put("t10k-images.idx3-ubyte", &images);
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let error = load(dir.path(), names.clone()).unwrap_err().to_string();
        assert!(error.contains("t10k-labels-idx1-ubyte"), "{error}");
        put("t10k-labels.idx1-ubyte.gz", &gzip(&labels));
        let set = load(dir.path(), names).unwrap();
        assert_eq!(set.train, set.test);
        assert_eq!(set.train.shape, [1, 2, 2]);
    }
}
