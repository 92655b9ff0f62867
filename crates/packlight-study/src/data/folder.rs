//! A folder of PNG and JPEG images by class: `train/CLASS/IMAGE` and `test/CLASS/IMAGE` (or
//! `val/` in place of `test/`).

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader};

use super::jpeg;
use super::raw::{Raw, RawSet};
use super::{DataSpec, Error, Result};

/// Reads the set: classes are sorted by name, and the images of a part go round the classes, so
/// that the first few of them are a fair choice; only the images within the spec's limits are
/// read. Each image is squeezed to `size` x `size`, smoothed where it shrinks, and is colour
/// unless one channel is asked for.
pub(super) fn load(folder: &Path, spec: &DataSpec) -> Result<RawSet> {
    let size = spec.size.ok_or_else(|| {
        Error::setting("size", "height and width for the images of a folder", "nothing")
    })?;
    let grey = spec.channels == Some(1);
    let train_folder = folder.join("train");
    let test_folder = if folder.join("test").exists() { "test" } else { "val" };
    let test_folder = folder.join(test_folder);
    let classes = subfolders(&train_folder)?;
    let test_classes = subfolders(&test_folder)?;
    if classes != test_classes {
        return Err(Error::corrupt(
            &test_folder,
            format!("the classes of train/, {},", classes.join(", ")),
            test_classes.join(", "),
            "give both parts the same folders",
        ));
    }
    let read = |part: &Path, limit: Option<usize>| -> Result<Raw> {
        let channels = if grey { 1 } else { 3 };
        let shape = [channels, size, size];
        let mut raw = Raw { pixels: Vec::new(), labels: Vec::new(), shape, white: 255 };
        for (label, path) in images(part, &classes)?.into_iter().take(limit.unwrap_or(usize::MAX)) {
            raw.pixels.extend(pixels(decode(&path)?, size as u32, grey));
            raw.labels.push(label);
        }
        Ok(raw)
    };
    Ok(RawSet {
        train: read(&train_folder, spec.train_limit)?,
        test: read(&test_folder, spec.test_limit)?,
        class_names: classes,
    })
}

/// The names of the class folders, sorted; there must be two or more.
fn subfolders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        match name.filter(|_| path.is_dir()) {
            Some(name) => names.push(name.to_owned()),
            None => {
                return Err(Error::corrupt(
                    &path,
                    "a folder of images of one class, with a Unicode name,",
                    "something else",
                    "remove or rename it",
                ));
            }
        }
    }
    if names.len() < 2 {
        return Err(Error::corrupt(
            folder,
            "one folder for each of two or more classes",
            names.len().to_string(),
            "put the images into a folder for each class",
        ));
    }
    Ok(names)
}

/// The label and path of each image, round the classes: first images, second images, and so on.
fn images(part: &Path, classes: &[String]) -> Result<Vec<(u32, PathBuf)>> {
    let mut images = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let folder = part.join(class);
        let paths = entries(&folder)?;
        if paths.is_empty() {
            return Err(Error::corrupt(
                &folder,
                "one or more images",
                "none",
                "add some, or remove the class from both parts",
            ));
        }
        for (round, path) in paths.into_iter().enumerate() {
            let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
            if !matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg")) {
                return Err(Error::corrupt(
                    &path,
                    "images called .png, .jpg or .jpeg",
                    "another file",
                    "convert or remove it",
                ));
            }
            images.push((round, label as u32, path));
        }
    }
    images.sort_by_key(|(round, label, _)| (*round, *label));
    Ok(images.into_iter().map(|(_, label, path)| (label, path)).collect())
}

/// What stands in a folder, sorted by name; hidden files are left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io(folder, e);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn decode(path: &Path) -> Result<DynamicImage> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    decode_bytes(&bytes, path)
}

/// Decodes a whole PNG or JPEG image, whatever its name ends in, of at most 512 MiB of pixels.
pub(super) fn decode_bytes(bytes: &[u8], path: &Path) -> Result<DynamicImage> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| Error::io(path, e))?;
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg::reaches_end(bytes) {
        return Err(Error::damaged(path, "a whole JPEG image", "one without its end"));
    }
    reader.decode().map_err(|source| Error::Image { path: path.to_path_buf(), source })
}

/// The bytes of an image at `size` x `size`, channel after channel.
fn pixels(image: DynamicImage, size: u32, grey: bool) -> Vec<u8> {
    let image = image.resize_exact(size, size, FilterType::Triangle);
    if grey {
        return image.into_luma8().into_raw();
    }
    let interleaved = image.into_rgb8().into_raw();
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    /// The bytes of a 9 x 6 image of one colour.
    pub(in super::super) fn encoded(format: ImageFormat, colour: [u8; 3]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(9, 6, Rgb(colour)).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn put(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Two classes: red PNGs ("b") and blue JPEGs ("a").
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["train/b/1.png", "train/b/2.PNG", "val/b/3.png", "train/b/.hidden"] {
            put(dir.path(), name, &encoded(ImageFormat::Png, [250, 0, 0]));
        }
        for name in ["train/a/1.jpg", "train/a/2.jpeg", "train/a/3.jpg", "val/a/4.jpg"] {
            put(dir.path(), name, &encoded(ImageFormat::Jpeg, [0, 0, 250]));
        }
        dir
    }

    fn spec() -> DataSpec {
        DataSpec { size: Some(4), ..DataSpec::new("folder:x".parse().unwrap()) }
    }

    #[test]
    fn classes_are_sorted_and_images_go_round_them() {
        let dir = folder();
        let set = load(dir.path(), &spec()).unwrap();
        assert_eq!(set.class_names, ["a", "b"]);
        assert_eq!(set.train.labels, [0, 1, 0, 1, 0]);
        assert_eq!(set.test.labels, [0, 1]);
        assert_eq!(set.train.shape, [3, 4, 4]);
        let red = &set.train.pixels[48..96];
        assert!(red[..16].iter().all(|&v| v == 250) && red[16..].iter().all(|&v| v == 0));

        let few = load(dir.path(), &DataSpec { train_limit: Some(2), ..spec() }).unwrap();
        assert_eq!(few.train.labels, [0, 1]);
        let grey = load(dir.path(), &DataSpec { channels: Some(1), ..spec() }).unwrap();
        assert_eq!((grey.train.shape, grey.train.pixels.len()), ([1, 4, 4], 80));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused_with_its_path() {
        let refused = |change: &dyn Fn(&Path), word: &str| {
            let dir = folder();
            change(dir.path());
            let error = load(dir.path(), &spec()).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&|root| put(root, "train/c/1.png", b""), "a, b, c");
        refused(&|root| put(root, "train/notes.txt", b""), "notes.txt");
        refused(&|root| put(root, "train/a/notes.txt", b""), "notes.txt");
        refused(&|root| put(root, "train/a/5.png", b""), "5.png");
        refused(&|root| std::fs::remove_dir_all(root.join("val")).unwrap(), "val");
        refused(&|root| std::fs::remove_file(root.join("val/a/4.jpg")).unwrap(), "val/a");
        let no_size = DataSpec { size: None, ..spec() };
        assert!(load(folder().path(), &no_size).unwrap_err().to_string().contains("`size`"));
    }

    #[test]
    fn a_cut_image_never_gives_other_pixels() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let whole = encoded(format, [9, 99, 199]);
            let image = decode_bytes(&whole, Path::new("image")).unwrap();
            for length in 0..whole.len() {
                // A PNG may lack its last bytes: they only mark the end.
                if let Ok(cut) = decode_bytes(&whole[..length], Path::new("image")) {
                    assert_eq!((format, &cut), (ImageFormat::Png, &image), "{length}");
                }
            }
        }
    }

    #[test]
    fn bytes_after_a_jpeg_do_no_harm() {
        let mut file = encoded(ImageFormat::Jpeg, [9, 99, 199]);
        file.extend([0xff; 20]);
        assert!(decode_bytes(&file, Path::new("image")).is_ok());
    }
}
