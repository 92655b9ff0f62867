//! A folder of PNG and JPEG images by class: `train/CLASS/IMAGE` and `test/CLASS/IMAGE` (or
//! `val/` in place of `test/`).
//!
//! Images are read as a viewer shows them on a white page: rotated by their EXIF orientation, and
//! with white behind transparent pixels, so that their invisible colours have no effect.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits};
use packlight_spec::Fault;

use super::jpeg;
use super::on_white::on_white;
use super::raw::{Raw, RawSet};
use super::{DataSpec, Error, Result};

/// Reads the set. Classes are sorted by name. The images of a part take turns between the classes,
/// so that the first few images are a balanced choice. Only images within the spec's limits are
/// read. Each image is resized to `size` x `size` without keeping its aspect ratio, with smoothing
/// where it shrinks, and is in colour unless one channel is asked for.
pub(super) fn load(folder: &Path, spec: &DataSpec) -> Result<RawSet> {
    let Some(size) = spec.size else {
        let reason = "a folder of images needs the side in pixels to resize them to, as in \
                      `size = 64` (`--size 64` on a command line)";
        return Err(Fault::new("size", reason).into());
    };
    let grey = spec.channels == Some(1);
    let part = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|p| p.is_dir());
    let (Some(train_folder), Some(test_folder)) = (part(&["train"]), part(&["test", "val"])) else {
        return Err(Error::NoImages { path: folder.to_path_buf(), found: contents(folder) });
    };
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

/// What a folder holds, in words.
fn contents(folder: &Path) -> String {
    let name = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() { name + "/" } else { name }
    };
    match entries(folder) {
        Err(Error::Io { source, .. }) => source.to_string(),
        Err(error) => error.to_string(),
        Ok(paths) if paths.is_empty() => "nothing".to_owned(),
        Ok(paths) => paths.into_iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

/// The names of the class folders, sorted; there must be at least two.
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

/// The label and path of each image, in turns: the first image of each class, the second of each,
/// and so on.
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

/// The entries of a folder, sorted by name, without hidden files.
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

/// Decodes a complete PNG or JPEG image of at most 512 MiB of pixels, whatever its file's
/// extension, and rotates it by its EXIF orientation.
pub(super) fn decode_bytes(bytes: &[u8], path: &Path) -> Result<DynamicImage> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| Error::io(path, e))?;
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg::reaches_end(bytes) {
        return Err(Error::damaged(path, "a whole JPEG image", "one without its end"));
    }
    upright(reader).map_err(|source| Error::Image { path: path.to_path_buf(), source })
}

fn upright(reader: ImageReader<Cursor<&[u8]>>) -> ImageResult<DynamicImage> {
    let mut decoder = reader.into_decoder()?;
    let mut limits = Limits::default();
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The bytes of an image resized to `size` x `size`, channel after channel.
fn pixels(image: DynamicImage, size: u32, grey: bool) -> Vec<u8> {
    let image = on_white(image).resize_exact(size, size, FilterType::Triangle);
    if grey {
        return image.into_luma8().into_raw();
    }
    let interleaved = image.into_rgb8().into_raw();
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use image::{GrayAlphaImage, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    /// Encodes a 9 x 6 image of one colour.
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

    /// Makes two classes: red PNGs ("b") and blue JPEGs ("a").
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
        refused(&|root| std::fs::remove_dir_all(root.join("val")).unwrap(), "found: train/;");
        refused(&|root| std::fs::remove_dir_all(root).unwrap(), "found: No such file");
        refused(&|root| std::fs::rename(root.join("train"), root.join("a")).unwrap(), "a/, val/;");
        refused(&|root| std::fs::remove_dir_all(root.join("val")).unwrap(), "train/CLASS/*.png");
        refused(&|root| std::fs::remove_file(root.join("val/a/4.jpg")).unwrap(), "val/a");
        let no_size = DataSpec { size: None, ..spec() };
        let error = load(folder().path(), &no_size).unwrap_err().to_string();
        assert!(error.starts_with("data.size: ") && error.contains("`size = 64`"), "{error}");
    }

    /// Reads a folder whose images of class "a" are `file`, at 2 x 2.
    fn read(name: &str, file: &[u8], channels: usize) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        for part in ["train", "val"] {
            put(dir.path(), &format!("{part}/a/{name}"), file);
            put(dir.path(), &format!("{part}/b/1.png"), &encoded(ImageFormat::Png, [0; 3]));
        }
        let spec = DataSpec { size: Some(2), channels: Some(channels), ..spec() };
        load(dir.path(), &spec).unwrap().train.pixels[..4 * channels].to_vec()
    }

    #[test]
    fn what_is_transparent_is_white_whatever_its_colour() {
        let png = |image: DynamicImage| {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        let hidden = RgbaImage::from_fn(2, 2, |x, _| match x {
            0 => Rgba([200, 0, 0, 0]),
            _ => Rgba([0, 100, 200, 255]),
        });
        let pixels = read("1.png", &png(hidden.into()), 3);
        assert_eq!(pixels, [255, 0, 255, 0, 255, 100, 255, 100, 255, 200, 255, 200]);
        let half = GrayAlphaImage::from_pixel(2, 2, LumaA([55, 51])); // a fifth of it is visible
        assert_eq!(read("1.png", &png(half.into()), 1), [215; 4]);
    }

    /// Adds the EXIF orientation `value` to a JPEG image.
    fn oriented(jpeg: &[u8], value: u8) -> Vec<u8> {
        let tag = &b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..];
        let exif = [&b"Exif\0\0"[..], tag, &[value], &[0; 6]].concat();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1][..], &length[..], &exif[..], &jpeg[2..]].concat()
    }

    #[test]
    fn images_are_turned_as_their_orientation_says() {
        // Black at the left, white at the right; the 8 x 8 blocks of JPEG do not mix them.
        let image = RgbImage::from_fn(16, 16, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        let jpeg = bytes.into_inner();
        let light =
            |file: &[u8]| read("1.jpg", file, 1).iter().map(|v| *v > 127).collect::<Vec<_>>();
        let (left, right) = ([true, false, true, false], [false, true, false, true]);
        let (top, bottom) = ([true, true, false, false], [false, false, true, true]);
        assert_eq!(light(&jpeg), right);
        for (value, expected) in [
            (1, right),
            (2, left),
            (3, left),
            (4, right),
            (5, bottom),
            (6, bottom),
            (7, top),
            (8, top),
        ] {
            assert_eq!(light(&oriented(&jpeg, value)), expected, "orientation {value}");
        }
    }

    #[test]
    fn a_cut_image_never_gives_other_pixels() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let whole = encoded(format, [9, 99, 199]);
            let image = decode_bytes(&whole, Path::new("image")).unwrap();
            for length in 0..whole.len() {
                // A PNG may lack its last bytes, which only mark the end.
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
