//! What can go wrong with models, plans and weights.

use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with models, plans and weights.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of a layer, data set or function outside Packlight; see [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// An op's error.
    #[error(transparent)]
    Autograd(Box<packlight_autograd::Error>),
    /// A codec's error.
    #[error(transparent)]
    Codec(#[from] packlight_codec::Error),
    /// A kernel's error.
    #[error(transparent)]
    Kernel(#[from] packlight_kernels::Error),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] packlight_record::Error),
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is not in the safetensors format.
    #[error("{}: not a safetensors file: {reason}; it is damaged or of another format", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of PyTorch's is damaged, or holds something other than tensors.
    #[error("{}: not a state dict that `torch.save` wrote whole: {reason}", path.display())]
    StateDict {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights of another model, which do not fit.
    #[error("{from}: these are the weights of another model ({differences}): {source}")]
    OtherModel {
        /// The file.
        from: String,
        /// What differs in the two descriptions.
        differences: String,
        /// What does not fit.
        source: Box<Error>,
    },
    /// Weights lack a tensor.
    #[error("{from}: the tensor `{tensor}`, of shape {shape:?}, is missing{hint}")]
    MissingTensor {
        /// Where the weights come from.
        from: String,
        /// The tensor.
        tensor: String,
        /// The shape that it should have.
        shape: Vec<usize>,
        /// The nearest name among those that are there and not expected, or nothing.
        hint: String,
    },
    /// Weights hold a tensor that nothing here is called by.
    #[error("{from}: the tensor `{tensor}` belongs to no parameter of this model{hint}")]
    ExtraTensor {
        /// Where the weights come from.
        from: String,
        /// The tensor.
        tensor: String,
        /// The nearest name that the model knows, or nothing.
        hint: String,
    },
    /// A tensor of another shape.
    #[error(
        "{from}: the tensor `{tensor}` has shape {found:?}, expected {expected:?}; was it made for another width, stem or number of classes?"
    )]
    TensorShape {
        /// Where the weights come from.
        from: String,
        /// The tensor.
        tensor: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The given shape.
        found: Vec<usize>,
    },
    /// A tensor of a type that cannot be used.
    #[error("{from}: the tensor `{tensor}` holds {found}, expected {expected}")]
    TensorType {
        /// Where the tensor comes from.
        from: String,
        /// The tensor.
        tensor: String,
        /// The given type.
        found: String,
        /// What it could hold.
        expected: &'static str,
    },
    /// A tensor with a value that can never be right.
    #[error(
        "{from}: the tensor `{tensor}` holds {value} at {at:?}, expected {expected}; it is damaged, or was taken from a training that had diverged"
    )]
    TensorValue {
        /// Where the tensor comes from.
        from: String,
        /// The tensor.
        tensor: String,
        /// The first such value.
        value: f64,
        /// Its place, one index for each axis.
        at: Vec<usize>,
        /// What it should hold.
        expected: &'static str,
    },
    /// A model in a type that the kernels do not compute in.
    #[error("a model computes in f32 or f64, not in {found:?}")]
    ModelType {
        /// The type asked for.
        found: candle_core::DType,
    },
    /// Two parameters, buffers or layers of one name.
    #[error("two parts of the model are called `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A parameter that makes a model too large.
    #[error(
        "with the parameter `{name}`, of shape {shape:?}, the model would hold more than {largest} numbers; lower its width, depth, image size or number of classes"
    )]
    TooLarge {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many numbers a model may hold.
        largest: usize,
    },
    /// A model's description is not valid.
    #[error("model: {0}")]
    Spec(#[from] packlight_spec::Fault),
    /// A layer's dimensions that make no sense.
    #[error("layer `{layer}`: {reason}")]
    Layer {
        /// The layer.
        layer: String,
        /// What is wrong.
        reason: String,
    },
    /// A plan that cannot be read or does not fit the model.
    #[error("plan `{plan}`: {reason}")]
    Plan {
        /// The plan as written.
        plan: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// A network that cannot be put together as a plan says.
    #[error("{reason}")]
    MemoryStrategy {
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// A backward pass gave no gradient for a parameter.
    #[error(
        "parameter `{parameter}` got no gradient in the calibrating pass: the loss does not depend on it"
    )]
    NoGradient {
        /// The parameter.
        parameter: String,
    },
    /// A step met a loss or a gradient that is not finite, and updated nothing.
    #[error(
        "{found} at step {step}; no parameter was changed; lower the learning rate, or look for inputs that are too large"
    )]
    Diverged {
        /// What is not finite.
        found: String,
        /// The step, from 0.
        step: u64,
    },
    /// An optimizer's or schedule's setting that makes no sense.
    #[error("{key} = {value}: {expected}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
}

impl From<candle_core::Error> for Error {
    /// As a kernel's error, which also knows of memory that a device lacks.
    fn from(error: candle_core::Error) -> Self {
        Error::Kernel(error.into())
    }
}

impl From<packlight_autograd::Error> for Error {
    fn from(error: packlight_autograd::Error) -> Self {
        Error::Autograd(Box::new(error))
    }
}

impl Error {
    /// An error of one's own, for a network or a loss whose `?` has no conversion.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Other(error.into())
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }
}
