//! Reads the pickles that PyTorch writes, and builds nothing but tensors from them.
//!
//! A pickle is a program: it may name any function of Python and call it. This reader knows the few
//! names that a state dict needs and refuses every other one, so nothing is ever run. Objects are
//! numbered, and others refer to them by their numbers, so that no file can nest or repeat them until
//! memory or stack are exhausted.

mod reader;

use safetensors::Dtype;

use reader::Reader;

/// The number of an object.
pub(super) type Id = usize;

/// An object; text is as in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object<'a> {
    /// A value that no tensor needs, such as a number with a fraction.
    Other,
    Integer(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// One of the known names.
    Name(Name),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// Memory that tensors share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    pub(super) key: &'a str,
    /// The number of elements.
    pub(super) len: usize,
}

/// A view of a storage, in elements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a state dict names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Name {
    OrderedDict,
    Rebuild,
    RebuildParameter,
    Storage(Dtype),
}

impl Name {
    fn of(module: &str, name: &str) -> Result<Self, String> {
        let storage = |name: &str| {
            Some(Name::Storage(match name {
                "DoubleStorage" => Dtype::F64,
                "FloatStorage" => Dtype::F32,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::BF16,
                "LongStorage" => Dtype::I64,
                "IntStorage" => Dtype::I32,
                "ShortStorage" => Dtype::I16,
                "CharStorage" => Dtype::I8,
                "ByteStorage" => Dtype::U8,
                "BoolStorage" => Dtype::BOOL,
                _ => return None,
            }))
        };
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Name::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Name::Rebuild),
            ("torch._utils", "_rebuild_parameter") => Some(Name::RebuildParameter),
            ("torch", name) => storage(name),
            _ => None,
        };
        known.ok_or_else(|| {
            format!(
                "it asks for `{module}.{name}`, and only tensors are read; save the state dict alone, \
                 with `torch.save(model.state_dict(), FILE)` or as safetensors"
            )
        })
    }
}

/// The objects of a pickle.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    /// The object that the pickle is.
    root: Id,
    /// The number of bytes that it takes.
    pub(super) len: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with.
    ///
    /// # Errors
    /// Returns what is wrong with it, in words.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        Reader::new(bytes).read()
    }

    pub(super) fn root(&self) -> &Object<'a> {
        &self.objects[self.root]
    }

    pub(super) fn object(&self, id: Id) -> &Object<'a> {
        &self.objects[id]
    }
}
