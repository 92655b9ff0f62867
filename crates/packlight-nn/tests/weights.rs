//! Weights survive saving and loading, and files that do not fit are refused by name.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use packlight_nn::model::{Architecture, Model, ModelSpec};
use packlight_nn::weights;

fn small(seed: u64, dtype: DType) -> Model {
    let spec = ModelSpec { width: Some(2), ..ModelSpec::new(Architecture::Resnet20) };
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
        tensors.insert("module.linear.bias".into(), tensor);
    });
    assert!(error.contains("`linear.bias`, of shape [10], is missing"), "{error}");
    assert!(error.contains("there is `module.linear.bias`"), "{error}");
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
    assert!(error.contains("`linear.bias` holds a value that is not finite (NaN)"), "{error}");
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
    let spec = ModelSpec::new(Architecture::Resnet20).for_images(3, 32, 10).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    model.parameters().load(&path).unwrap();
    assert_eq!(
        flat(&model.parameters().tensors().unwrap()),
        flat(&weights::read(&path, &Device::Cpu).unwrap())
    );
}
