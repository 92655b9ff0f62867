//! The binary format of CIFAR-10 and CIFAR-100: records of one label byte (in CIFAR-100 two: the
//! coarse label, then the fine one) and 3,072 pixels, 32 x 32 red, then green, then blue.

use std::path::{Path, PathBuf};

use super::raw::{Raw, RawSet, checked_labels};
use super::{Error, Result};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3072;

/// Reads CIFAR-10. All `data_batch_*.bin` files are training data, and `test_batch.bin` is test
/// data. The size of a file gives its number of records.
pub(super) fn load_10(folder: &Path, class_names: Vec<String>) -> Result<RawSet> {
    let class_names = names(&folder.join("batches.meta.txt"), class_names)?;
    let mut train = Raw { pixels: Vec::new(), labels: Vec::new(), shape: SHAPE, white: 255 };
    for path in batches(folder)? {
        let batch = read(&path, &[10])?;
        train.pixels.extend(batch.pixels);
        train.labels.extend(batch.labels);
    }
    let test = read(&folder.join("test_batch.bin"), &[10])?;
    Ok(RawSet { train, test, class_names })
}

/// Reads CIFAR-100 with its fine labels, from `train.bin` and `test.bin`.
pub(super) fn load_100(folder: &Path, class_names: Vec<String>) -> Result<RawSet> {
    let class_names = names(&folder.join("fine_label_names.txt"), class_names)?;
    let train = read(&folder.join("train.bin"), &[20, 100])?;
    let test = read(&folder.join("test.bin"), &[20, 100])?;
    Ok(RawSet { train, test, class_names })
}

fn read(path: &Path, classes: &[usize]) -> Result<Raw> {
    parse(&std::fs::read(path).map_err(|e| Error::io(path, e))?, classes, path)
}

/// Parses a file whose records begin with one label for each of `classes`. It checks all labels and
/// uses the last one.
pub(super) fn parse(file: &[u8], classes: &[usize], path: &Path) -> Result<Raw> {
    let record = classes.len() + PIXELS;
    if file.is_empty() || !file.len().is_multiple_of(record) {
        return Err(Error::damaged(
            path,
            format!("one or more whole records of {record} bytes"),
            format!(
                "{} bytes ({} records and {} bytes)",
                file.len(),
                file.len() / record,
                file.len() % record
            ),
        ));
    }
    let mut labels = Vec::new();
    for (place, &classes) in classes.iter().enumerate() {
        labels =
            checked_labels(file.chunks_exact(record).map(|record| record[place]), classes, path)?;
    }
    let pixels =
        file.chunks_exact(record).flat_map(|record| &record[classes.len()..]).copied().collect();
    Ok(Raw { pixels, labels, shape: SHAPE, white: 255 })
}

/// All `data_batch_*.bin` in `folder`, in the order of their numbers: `data_batch_10` after
/// `data_batch_9`.
fn batches(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io(folder, e);
    let mut batches = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("data_batch_") && name.ends_with(".bin") {
            batches.push(name);
        }
    }
    if batches.is_empty() {
        return Err(Error::corrupt(
            folder,
            "one or more data_batch_*.bin",
            "none",
            "put the set's binary version there",
        ));
    }
    batches.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    Ok(batches.into_iter().map(|name| folder.join(name)).collect())
}

/// Reads the names of the classes, one a line, if the set has such a file; otherwise returns
/// `usual`.
fn names(path: &Path, usual: Vec<String>) -> Result<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(usual),
        Err(e) => return Err(Error::io(path, e)),
    };
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != usual.len() {
        return Err(Error::damaged(
            path,
            format!("{} class names", usual.len()),
            names.len().to_string(),
        ));
    }
    Ok(names)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a file of records with these labels; image `n` is grey with value `n`.
    pub(in super::super) fn records(labels: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for (index, labels) in labels.iter().enumerate() {
            file.extend(*labels);
            file.extend([index as u8; PIXELS]);
        }
        file
    }

    fn usual(classes: usize) -> Vec<String> {
        (0..classes).map(|class| class.to_string()).collect()
    }

    #[test]
    fn cifar_10_takes_any_number_of_batches_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("data_batch_10.bin", &records(&[&[9]]));
        put("data_batch_2.bin", &records(&[&[2], &[3]]));
        put("data_batch_1.bin", &records(&[&[1]]));
        assert!(load_10(dir.path(), usual(10)).unwrap_err().to_string().contains("test_batch.bin"));
        put("test_batch.bin", &records(&[&[0]]));
        let set = load_10(dir.path(), usual(10)).unwrap();
        assert_eq!(set.train.labels, [1, 2, 3, 9]);
        assert_eq!(set.train.pixels.len(), 4 * PIXELS);
        assert_eq!(set.train.pixels[2 * PIXELS], 1);
        assert_eq!(set.class_names, usual(10));

        put("batches.meta.txt", b"airplane\nautomobile\n\n");
        let error = load_10(dir.path(), usual(10)).unwrap_err().to_string();
        assert!(error.ends_with("10 class names expected, 2 found; fetch the file again"));
    }

    #[test]
    fn cifar_100_uses_the_fine_label_and_checks_both() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("train.bin", &records(&[&[19, 99], &[0, 5]]));
        put("test.bin", &records(&[&[3, 4]]));
        let set = load_100(dir.path(), usual(100)).unwrap();
        assert_eq!((set.train.labels, set.test.labels), (vec![99, 5], vec![4]));
        put("test.bin", &records(&[&[20, 4]]));
        assert!(load_100(dir.path(), usual(100)).is_err());
        put("test.bin", &records(&[&[19, 100]]));
        assert!(load_100(dir.path(), usual(100)).is_err());
    }

    #[test]
    fn a_file_cut_anywhere_inside_a_record_is_refused() {
        let file = records(&[&[0], &[9]]);
        for length in (0..file.len()).filter(|length| *length != file.len() / 2) {
            assert!(parse(&file[..length], &[10], Path::new("batch")).is_err(), "{length}");
        }
        let error = parse(&file[..4000], &[10], Path::new("batch")).unwrap_err().to_string();
        assert_eq!(
            error,
            "batch: one or more whole records of 3073 bytes expected, \
             4000 bytes (1 records and 927 bytes) found; fetch the file again"
        );
    }

    #[test]
    fn a_label_out_of_range_is_refused() {
        for label in 10..=255 {
            assert!(parse(&records(&[&[1], &[label]]), &[10], Path::new("batch")).is_err());
        }
    }
}
