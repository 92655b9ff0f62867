//! Named tensors in safetensors files, and their way into variables.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use packlight_record::atomic_file;

use crate::nearest::nearest;
use crate::{Error, Result};

/// Reads all tensors of the safetensors file at `path`, in the types that they are stored in.
///
/// # Errors
/// If the file cannot be read or is not in that format.
pub fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, device)
        .map_err(|e| Error::Safetensors { path: path.to_path_buf(), reason: e.to_string() })?;
    Ok(tensors.into_iter().collect())
}

/// Writes `tensors` to `path` as safetensors: to a temporary file beside it, which is synced and
/// renamed, so that a reader sees the old file or the new one and never a part.
///
/// # Errors
/// If the file cannot be written, as on a full disk.
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|e| Error::Safetensors { path: path.to_path_buf(), reason: e.to_string() })?;
    Ok(atomic_file::write(path, &bytes)?)
}

/// Sets the named variables from tensors of the same names, cast to each variable's type and
/// device; where one does not fit, none is changed. `from` says in errors whose tensors they are.
pub(crate) fn assign<'a>(
    variables: impl Iterator<Item = &'a (String, Var)>,
    tensors: &BTreeMap<String, Tensor>,
    from: &str,
) -> Result<()> {
    let variables: BTreeMap<&str, &Var> =
        variables.map(|(name, var)| (name.as_str(), var)).collect();
    let extra: Vec<&str> = tensors
        .keys()
        .map(String::as_str)
        .filter(|name| !variables.contains_key(name) && !name.ends_with("num_batches_tracked"))
        .collect();
    let mut new = Vec::with_capacity(variables.len());
    for (&name, &var) in &variables {
        let Some(tensor) = tensors.get(name) else {
            return Err(Error::MissingTensor {
                from: from.to_owned(),
                tensor: name.to_owned(),
                shape: var.dims().to_vec(),
                hint: hint("; there is", nearest(name, extra)),
            });
        };
        if tensor.dims() != var.dims() {
            return Err(Error::TensorShape {
                from: from.to_owned(),
                tensor: name.to_owned(),
                expected: var.dims().to_vec(),
                found: tensor.dims().to_vec(),
            });
        }
        if !matches!(tensor.dtype(), DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
            return Err(Error::TensorType {
                from: from.to_owned(),
                tensor: name.to_owned(),
                found: tensor.dtype(),
            });
        }
        new.push((var, tensor.to_dtype(var.dtype())?.to_device(var.device())?));
    }
    if let Some(&name) = extra.first() {
        return Err(Error::ExtraTensor {
            from: from.to_owned(),
            tensor: name.to_owned(),
            hint: hint("; the nearest is", nearest(name, variables.into_keys())),
        });
    }
    for (var, tensor) in new {
        var.set(&tensor)?;
    }
    Ok(())
}

fn hint(lead: &str, name: Option<&str>) -> String {
    name.map(|name| format!("{lead} `{name}`")).unwrap_or_default()
}

/// Answers an error where `tensor` has an infinite value or one that is not a number.
pub(crate) fn require_finite(tensor: &Tensor, name: &str, from: &str) -> Result<()> {
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    match values.into_iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => {
            Err(Error::NotFinite { from: from.to_owned(), tensor: name.to_owned(), value })
        }
    }
}
