//! Weights survive saving and loading, and files that do not fit are refused by name.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use packlight_nn::model::{Model, ModelSpec, Resnet20};
use packlight_nn::weights;
use safetensors::{Dtype, View};

fn small(seed: u64, dtype: DType) -> Model {
    let spec = ModelSpec::new(Resnet20 { width: 2 });
    Model::new(&spec.for_images(3, 32, 10).unwrap(), seed, dtype, &Device::Cpu).unwrap()
}

fn flat(tensors: &BTreeMap<String, Tensor>) -> Vec<f32> {
    let flatten = |t: &Tensor| t.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
    tensors.values().flat_map(|t| flatten(t).unwrap()).collect()
}

/// The error on loading a model's own weights after `change`.
fn refused(change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let model = small(1, DType::F32);
    let mut tensors = model.parameters().tensors().unwrap();
    change(&mut tensors);
    weights::write(&path, &tensors).unwrap();
    let before = small(2, DType::F32);
    let untouched = flat(&before.parameters().tensors().unwrap());
    let error = before.parameters().load(&path).unwrap_err().to_string();
    assert!(error.contains("weights.safetensors"), "{error}");
    assert_eq!(flat(&before.parameters().tensors().unwrap()), untouched);
    error
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (first, second) = (small(1, DType::F32), small(2, DType::F32));
    second.parameters().save(&path).unwrap(); // to be replaced
    first.parameters().save(&path).unwrap();
    second.parameters().load(&path).unwrap();
    let (first, second) =
        (first.parameters().tensors().unwrap(), second.parameters().tensors().unwrap());
    assert_eq!(flat(&first), flat(&second));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn other_float_types_are_cast() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        let path = folder.path().join(format!("{dtype:?}"));
        let from = small(1, DType::F32).parameters().tensors().unwrap();
        let cast = from.into_iter().map(|(name, t)| (name, t.to_dtype(dtype).unwrap()));
        let cast: BTreeMap<String, Tensor> = cast.collect();
        weights::write(&path, &cast).unwrap();
        for into in [DType::F32, DType::F64] {
            let model = small(2, into);
            model.parameters().load(&path).unwrap();
            let loaded = model.parameters().tensors().unwrap();
            assert!(loaded.values().all(|tensor| tensor.dtype() == into));
            assert_eq!(flat(&loaded), flat(&cast));
        }
    }
}

#[test]
fn the_counters_that_pytorch_writes_are_tolerated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let model = small(1, DType::F32);
    let mut tensors = model.parameters().tensors().unwrap();
    let counter = Tensor::new(5i64, &Device::Cpu).unwrap();
    tensors.insert("bn1.num_batches_tracked".into(), counter);
    weights::write(&path, &tensors).unwrap();
    model.parameters().load(&path).unwrap();
}

#[test]
fn a_missing_tensor_is_named() {
    let error = refused(|tensors| {
        let tensor = tensors.remove("linear.bias").unwrap();
        tensors.insert("model.linear.bias".into(), tensor);
    });
    assert!(error.contains("`linear.bias`, of shape [10], is missing"), "{error}");
    assert!(error.contains("there is `model.linear.bias`"), "{error}");
}

#[test]
fn the_wrappers_of_pytorch_are_taken_off_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let from = small(1, DType::F32);
    let own = from.parameters().tensors().unwrap();
    for wrapped in ["module.*", "_orig_mod.*", "module._orig_mod.*", "_orig_mod.module.*"] {
        let named = own.iter().map(|(name, t)| (wrapped.replace('*', name), t.clone()));
        weights::write(&path, &named.collect()).unwrap();
        let into = small(2, DType::F32);
        into.parameters().load(&path).unwrap();
        assert_eq!(flat(&into.parameters().tensors().unwrap()), flat(&own), "{wrapped}");
    }
    let within = own.iter().map(|(name, t)| {
        (name.replace("layer2.", "layer2.module.").replace("1.conv", "1._orig_mod.conv"), t.clone())
    });
    weights::write(&path, &within.collect()).unwrap();
    let into = small(2, DType::F32);
    into.parameters().load(&path).unwrap();
    assert_eq!(flat(&into.parameters().tensors().unwrap()), flat(&own));
    let error = refused(|tensors| {
        let tensor = tensors["linear.bias"].clone();
        tensors.insert("module.linear.bias".into(), tensor);
    });
    assert!(error.contains("linear.bias` belongs to no parameter"), "{error}");
    assert!(error.contains("another one is `linear.bias` already"), "{error}");
}

/// A tensor of any type, as its bytes.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[test]
fn only_what_is_used_has_to_be_of_a_known_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let model = small(1, DType::F32);
    let write_with = |name: &str, dtype: Dtype| {
        let floats = |tensor: Tensor| Stored {
            dtype: Dtype::F32,
            shape: tensor.dims().to_vec(),
            bytes: View::data(&tensor).into_owned(),
        };
        let own = model.parameters().tensors().unwrap().into_iter();
        let mut all: BTreeMap<_, _> = own.map(|(name, tensor)| (name, floats(tensor))).collect();
        let bytes = vec![1; 10 * dtype.bitsize() / 8];
        all.insert(name.to_owned(), Stored { dtype, shape: vec![10], bytes });
        std::fs::write(&path, safetensors::serialize(all, None).unwrap()).unwrap();
    };
    for (dtype, name) in [
        (Dtype::BOOL, "BOOL"),
        (Dtype::I8, "I8"),
        (Dtype::U64, "U64"),
        (Dtype::C64, "C64"),
        (Dtype::F8_E5M2, "F8_E5M2"),
        (Dtype::F8_E4M3, "F8_E4M3"),
    ] {
        write_with("layer1.mask", dtype);
        model.parameters().load(&path).unwrap();
        let error = weights::read(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(&format!("`layer1.mask` holds {name}, expected ")), "{error}");
        write_with("linear.bias", dtype);
        let error = model.parameters().load(&path).unwrap_err().to_string();
        let expected = format!("`linear.bias` holds {name}, expected f16, bf16, f32 or f64");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn an_extra_tensor_is_named() {
    let error = refused(|tensors| {
        let tensor = tensors["linear.bias"].clone();
        tensors.insert("linear.bais".into(), tensor);
    });
    assert!(error.contains("`linear.bais` belongs to no parameter"), "{error}");
    assert!(error.contains("the nearest is `linear.bias`"), "{error}");
}

#[test]
fn a_misshapen_tensor_is_named() {
    let error = refused(|tensors| {
        let tensor = Tensor::zeros(7, DType::F32, &Device::Cpu).unwrap();
        tensors.insert("linear.bias".into(), tensor);
    });
    assert!(error.contains("`linear.bias` has shape [7], expected [10]"), "{error}");
}

#[test]
fn integers_and_values_that_are_not_finite_are_named() {
    let error = refused(|tensors| {
        let tensor = Tensor::zeros(10, DType::U32, &Device::Cpu).unwrap();
        tensors.insert("linear.bias".into(), tensor);
    });
    assert!(error.contains("`linear.bias` holds U32"), "{error}");
    let error = refused(|tensors| {
        let tensor = Tensor::full(f32::NAN, 10, &Device::Cpu).unwrap();
        tensors.insert("linear.bias".into(), tensor);
    });
    assert!(error.contains("`linear.bias` holds NaN at [0], expected finite values"), "{error}");
    let error = refused(|tensors| {
        let tensor = Tensor::new(&[1f64, 1e300], &Device::Cpu).unwrap();
        tensors.insert("bn1.weight".into(), tensor);
    });
    assert!(error.contains("`bn1.weight` holds inf at [1], expected finite values"), "{error}");
}

#[test]
fn a_running_variance_below_0_is_named() {
    for (value, said) in [(-0.5f32, "-0.5"), (f32::NAN, "NaN")] {
        let error = refused(|tensors| {
            let tensor = Tensor::new(&[1.0, value], &Device::Cpu).unwrap();
            tensors.insert("layer1.0.bn1.running_var".into(), tensor);
        });
        let expected =
            format!("`layer1.0.bn1.running_var` holds {said} at [1], expected variances");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn files_that_are_damaged_or_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let model = small(1, DType::F32);
    let error = |path: &Path| model.parameters().load(path).unwrap_err().to_string();
    assert!(error(&path).contains("weights: "), "{}", error(&path));
    model.parameters().save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 7, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(error(&path).contains("not a safetensors file"), "{}", error(&path));
    }
}

#[test]
fn weights_that_say_what_they_are_are_told_from_another_model_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let model = small(1, DType::F32);
    let spec = serde_json::to_string(&model.spec().complete()).unwrap();
    model.parameters().save_with(&path, format!("{{\"model\":{spec},\"seed\":1}}")).unwrap();
    let file = weights::File::open(&path).unwrap();
    assert!(file.origin().unwrap().ends_with("\"seed\":1}"));
    small(2, DType::F32).load(&file).unwrap();

    let spec = ModelSpec::new(Resnet20 { width: 3 }).for_images(3, 32, 7).unwrap();
    let other = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    let error = other.load(&file).unwrap_err().to_string();
    assert!(error.contains("weights: these are the weights of another model"), "{error}");
    assert!(error.contains("(classes: 10 there, 7 here; width: 2 there, 3 here)"), "{error}");
    assert!(error.contains("the tensor `"), "{error}");

    model.parameters().save(&path).unwrap(); // as other programs do
    let file = weights::File::open(&path).unwrap();
    assert_eq!(file.origin(), None);
    let error = other.load(&file).unwrap_err().to_string();
    assert!(!error.contains("another model"), "{error}");
}

#[test]
fn what_weights_say_of_themselves_is_written_in_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let model = small(1, DType::F32);
    let written = |name: &str| {
        let path = folder.path().join(name);
        model.parameters().save_with(&path, "{\"a\":1,\"b\":2}".to_owned()).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(written("once") == written("twice"));
}

/// The published ResNet-20, where `PACKLIGHT_DATA` points to the folder that has it.
#[test]
fn a_checkpoint_from_pytorch_loads() {
    let Some(data) = std::env::var_os("PACKLIGHT_DATA") else {
        return println!("skipped: PACKLIGHT_DATA is not set");
    };
    let path = Path::new(&data).join("resnet20-cifar10/resnet20.safetensors");
    if !path.exists() {
        return println!("skipped: {} is not there", path.display());
    }
    let spec = ModelSpec::new(Resnet20::default()).for_images(3, 32, 10).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    model.parameters().load(&path).unwrap();
    assert_eq!(
        flat(&model.parameters().tensors().unwrap()),
        flat(&weights::read(&path, &Device::Cpu).unwrap())
    );
}
