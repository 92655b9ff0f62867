//! Reads named tensors from files of safetensors and of PyTorch, writes them as safetensors, and assigns them
//! to variables.

mod pickle;
mod pytorch;
mod zip;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor, Var};
use packlight_record::atomic_file;
use packlight_spec::nearest;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

/// The types that can be read.
const READABLE: [Dtype; 10] = [
    Dtype::U8,
    Dtype::U16,
    Dtype::U32,
    Dtype::I16,
    Dtype::I32,
    Dtype::I64,
    Dtype::F16,
    Dtype::BF16,
    Dtype::F32,
    Dtype::F64,
];

/// The key of a file's metadata under which Packlight says, in JSON, what the weights are. There is one
/// key, because several would be written in random order.
const ORIGIN: &str = "packlight";

/// The types that parameters can be stored in.
const FLOATS: &str = "f16, bf16, f32 or f64";

/// A file of weights: safetensors, or a state dict that `torch.save` wrote, from which nothing but
/// tensors is read. It makes a tensor only when asked for it, so the other tensors may be of any type.
pub struct File {
    name: String,
    bytes: Vec<u8>,
    /// In the order in which they are stored.
    tensors: Vec<(String, Stored)>,
    origin: Option<String>,
}

/// A tensor in the bytes of a file.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    /// The offset of its first element in bytes.
    begin: usize,
    /// In elements; `None` if it is contiguous.
    strides: Option<Vec<usize>>,
}

impl File {
    /// Opens the file at `path` and checks its format, which its contents tell and not its name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is in neither format, or is a file of PyTorch's that
    /// asks for anything but tensors: it names what is asked for, and nothing is run.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let name = path.display().to_string();
        if pytorch::is_own(&bytes) {
            let tensors = pytorch::read(&bytes)
                .map_err(|reason| Error::StateDict { path: path.to_path_buf(), reason })?;
            return Ok(Self { name, bytes, tensors, origin: None });
        }
        let (header, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|e| Error::Safetensors { path: path.to_path_buf(), reason: e.to_string() })?;
        let start = size_of::<u64>() + header; // the header's length precedes it
        let stored = |name: String| {
            let info = metadata.info(&name)?;
            let (shape, begin) = (info.shape.clone(), start + info.data_offsets.0);
            Some((name, Stored { dtype: info.dtype, shape, begin, strides: None }))
        };
        let tensors = metadata.offset_keys().into_iter().filter_map(stored).collect();
        let origin = metadata.metadata().as_ref().and_then(|all| all.get(ORIGIN).cloned());
        Ok(Self { name, bytes, tensors, origin })
    }

    /// Its path, for error messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file says of its weights, as JSON: see [`Parameters::save_with`](crate::Parameters::save_with).
    /// `None` if another program wrote it.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The names of its tensors, in the order in which they are stored.
    pub fn tensors(&self) -> Vec<String> {
        self.tensors.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The tensor called `name`, in the type in which it is stored; `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if its type cannot be read; the error names the tensor and the type.
    pub fn get(&self, name: &str) -> Result<Option<Tensor>> {
        let Some(stored) = self.stored(name) else { return Ok(None) };
        if !READABLE.contains(&stored.dtype) {
            let expected = "floating-point numbers of 16 to 64 bits or integers";
            return Err(self.type_error(name, stored.dtype, expected));
        }
        let data = stored.data(&self.bytes);
        let view = TensorView::new(stored.dtype, stored.shape.clone(), &data).map_err(|e| {
            Error::Safetensors { path: self.name.clone().into(), reason: e.to_string() }
        })?;
        Ok(Some(view.load(&Device::Cpu)?))
    }

    /// The tensor called `name`, which must be of floating point.
    pub(crate) fn get_floats(&self, name: &str) -> Result<Option<Tensor>> {
        match self.stored(name) {
            Some(stored) if !self.holds_floats(name) => {
                Err(self.type_error(name, stored.dtype, FLOATS))
            }
            _ => self.get(name),
        }
    }

    /// Whether there is a tensor called `name` of a type that parameters can be stored in.
    pub(crate) fn holds_floats(&self, name: &str) -> bool {
        let dtype = self.stored(name).map(|stored| stored.dtype);
        matches!(dtype, Some(Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64))
    }

    fn stored(&self, name: &str) -> Option<&Stored> {
        // The last of two of one name, as in a Python dict.
        self.tensors.iter().rev().find(|(found, _)| found == name).map(|(_, stored)| stored)
    }

    fn type_error(&self, name: &str, found: Dtype, expected: &'static str) -> Error {
        let (from, tensor) = (self.name.clone(), name.to_owned());
        Error::TensorType { from, tensor, found: found.to_string(), expected }
    }
}

impl Stored {
    /// Its bytes in row-major order, out of those of the file.
    fn data<'a>(&self, file: &'a [u8]) -> Cow<'a, [u8]> {
        let size = self.dtype.bitsize() / 8;
        let count: usize = self.shape.iter().product();
        let whole = |elements: usize| self.begin..self.begin + elements * size;
        let Some(strides) = self.strides.as_ref().filter(|strides| !self.is_row_major(strides))
        else {
            return Cow::Borrowed(&file[whole(count)]);
        };
        let mut data = Vec::with_capacity(count * size);
        for at in 0..count {
            let (mut rest, mut offset) = (at, 0);
            for (n, stride) in self.shape.iter().zip(strides).rev() {
                offset += rest % n * stride;
                rest /= n;
            }
            data.extend_from_slice(&file[self.begin + offset * size..][..size]);
        }
        Cow::Owned(data)
    }

    fn is_row_major(&self, strides: &[usize]) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(strides).rev().all(|(&n, &stride)| {
            let fits = n <= 1 || stride == expected;
            expected *= n.max(1);
            fits
        })
    }
}

/// Reads all tensors of the file at `path`, in the types in which they are stored.
///
/// # Errors
/// Returns an error as [`File::open`] and [`File::get`] do.
pub fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let file = File::open(path)?;
    let mut tensors = BTreeMap::new();
    for name in file.tensors() {
        if let Some(tensor) = file.get(&name)? {
            tensors.insert(name, tensor.to_device(device)?);
        }
    }
    Ok(tensors)
}

/// Writes `tensors` to `path` as safetensors. It writes a temporary file beside it, syncs and
/// renames it, so that a reader sees the old file or the new one, and never a part of one.
///
/// # Errors
/// Returns an error if the file cannot be written, as when the disk is full.
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    write_with(path, tensors, None)
}

/// Writes `tensors` as [`write`] does, with what they are, as JSON, in the file's metadata.
pub(crate) fn write_with(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    origin: Option<String>,
) -> Result<()> {
    let metadata = origin.map(|origin| HashMap::from([(ORIGIN.to_owned(), origin)]));
    let bytes = safetensors::serialize(tensors, metadata)
        .map_err(|e| Error::Safetensors { path: path.to_path_buf(), reason: e.to_string() })?;
    Ok(atomic_file::write(path, &bytes)?)
}

/// The name of a parameter without the parts that PyTorch's `DataParallel` and `compile` insert
/// where they wrap the model or a part of it.
pub fn unwrapped(name: &str) -> String {
    let own = name.split('.').filter(|part| !matches!(*part, "module" | "_orig_mod"));
    own.collect::<Vec<_>>().join(".")
}

/// Sets the named variables from tensors of the same names, cast to each variable's type and moved
/// to its device, or changes none if one does not fit. `from` says in errors where the tensors come
/// from.
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
                found: format!("{:?}", tensor.dtype()),
                expected: FLOATS,
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

/// Whether two tensors have the same shape and values.
pub(crate) fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    let values = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    Ok(a.dims() == b.dims() && values(a)? == values(b)?)
}

/// Checks that all values of `tensor`, called `name`, are finite.
///
/// # Errors
/// Returns an error if one is not; the error gives the value and its index, and says that the
/// tensor comes from `from`.
pub fn require_finite(tensor: &Tensor, name: &str, from: &str) -> Result<()> {
    require(tensor, name, from, f64::is_finite, "finite values")
}

/// Checks that `tensor`, called `name`, holds variances: finite values that are at least 0.
pub(crate) fn require_variances(tensor: &Tensor, name: &str, from: &str) -> Result<()> {
    let sound = |value: f64| value.is_finite() && value >= 0.0;
    require(tensor, name, from, sound, "variances, which are finite and at least 0")
}

fn require(
    tensor: &Tensor,
    name: &str,
    from: &str,
    sound: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<()> {
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let Some(at) = values.iter().position(|&value| !sound(value)) else { return Ok(()) };
    let contiguous = tensor.contiguous()?;
    let place =
        tensor.dims().iter().zip(contiguous.stride()).map(|(size, stride)| at / stride % size);
    Err(Error::TensorValue {
        from: from.to_owned(),
        tensor: name.to_owned(),
        value: values[at],
        at: place.collect(),
        expected,
    })
}
