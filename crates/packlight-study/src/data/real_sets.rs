//! Tests of the sets that are too large to ship; `PACKLIGHT_DATA` says where they are.

use std::io::Write;

use candle_core::Device;
use packlight_nn::model::Inputs;

use super::{DataSet, DataSpec, Form, Normalise, Split, data_dir, load};

/// Says why a test is skipped, even if the tests' output is captured.
#[allow(clippy::explicit_write)] // `eprintln` would be captured
pub(super) fn skipped(why: &str) {
    writeln!(std::io::stderr(), "skipped: {why}").unwrap();
}

/// The set with pixels from 0 to 1; `None`, with a message, if it is not available.
fn plain(name: &str) -> Option<DataSet> {
    let Some(dir) = data_dir(None) else {
        skipped(&format!("{name} needs PACKLIGHT_DATA"));
        return None;
    };
    if !dir.join(name).is_dir() {
        skipped(&format!("{name} is not in {}", dir.display()));
        return None;
    }
    let normalise = Some(Normalise { mean: vec![0.0], std: vec![1.0] });
    let spec = DataSpec { normalise, ..DataSpec::new(name.parse().unwrap()) };
    Some(load(&spec, Some(&dir)).unwrap())
}

/// The mean and standard deviation of channel `channel` of the training images.
fn moments(set: &DataSet, channel: usize) -> (f64, f64) {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    let all: Vec<usize> = (0..set.train.len()).collect();
    for indices in all.chunks(1000) {
        let batch = set.train.batch(indices, None, &Device::Cpu).unwrap();
        let Inputs::Images(images) = batch.inputs else { panic!("no images") };
        let plane = images.narrow(1, channel, 1).unwrap().flatten_all().unwrap();
        for value in plane.to_vec1::<f32>().unwrap() {
            count += 1.0;
            sum += f64::from(value);
            squares += f64::from(value).powi(2);
        }
    }
    let mean = sum / count;
    (mean, (squares / count - mean * mean).sqrt())
}

fn per_class(split: &Split) -> Vec<usize> {
    let Split::Images(images) = split else { panic!("no images") };
    let labels = images.labels();
    (0..10).map(|class| labels.iter().filter(|&&label| label == class).count()).collect()
}

#[test]
fn fashion_mnist_is_whole() {
    let Some(set) = plain("fashion-mnist") else { return };
    assert_eq!((set.train.len(), set.test.len()), (60_000, 10_000));
    assert_eq!(set.form.to_string(), "1 x 28 x 28, 10 classes");
    assert_eq!(per_class(&set.train), [6000; 10]);
    assert_eq!(per_class(&set.test), [1000; 10]);
    let (mean, std) = moments(&set, 0);
    assert!((mean - 0.2860).abs() < 5e-5 && (std - 0.3530).abs() < 5e-5, "{mean} {std}");
}

#[test]
fn cifar_10_is_whole() {
    let Some(set) = plain("cifar-10") else { return };
    let Form::Images { class_names, shape, .. } = &set.form else { panic!("no images") };
    assert_eq!((shape, class_names.len()), (&[3, 32, 32], 10));
    assert_eq!(class_names[6], "frog");
    // A smaller copy will do, as long as each class has its share.
    for split in [&set.train, &set.test] {
        assert_eq!(per_class(split), [split.len() / 10; 10]);
    }
    // The figures of the original; a partial copy that was once compressed as JPEG comes within
    // 1 %.
    for (channel, (mean, std)) in
        [(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)].into_iter().enumerate()
    {
        let found = moments(&set, channel);
        assert!((found.0 - mean).abs() < 0.01 && (found.1 - std).abs() < 0.01, "{found:?}");
    }
}
