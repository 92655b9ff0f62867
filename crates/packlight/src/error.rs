//! One error for everything that a program does with Packlight.

/// A result whose error every error of Packlight and candle turns into with `?`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a program that uses Packlight: an error of one of its crates, of candle, or
/// of the system. Its message says what went wrong, where, and what to do.
///
/// ```
/// use packlight::nn::model::Resnet18;
/// use packlight::prelude::*;
///
/// fn main() -> packlight::Result<()> {
///     let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?; // candle's error
///     let plan = Plan::parse("pool2")?; // a plan's
///     let model = ModelSpec::new(Resnet18::default()).with("width", 8)?; // a description's
///     std::fs::create_dir_all(std::env::temp_dir())?; // the system's
///     Ok(())
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum Error {
    /// Candle's error.
    Candle(#[from] candle_core::Error),
    /// A kernel's error.
    Kernel(#[from] crate::kernels::Error),
    /// A codec's error.
    Codec(#[from] crate::codec::Error),
    /// An error of a plan's or a study's description.
    Spec(#[from] crate::spec::Error),
    /// An operation's error.
    Autograd(Box<crate::autograd::Error>),
    /// An error of a network, a plan or a training step.
    Nn(Box<crate::nn::Error>),
    /// A probe's error.
    Probe(Box<crate::probe::Error>),
    /// A data set's error.
    Data(Box<crate::study::data::Error>),
    /// A study's error.
    Study(Box<crate::study::Error>),
    /// An error of an allocation.
    Allocation(#[from] crate::allocation::Error),
    /// A record's error.
    Record(#[from] crate::record::Error),
    /// A figure's error.
    Figure(#[from] crate::figure::Error),
    /// A report's error.
    Report(Box<crate::report::Error>),
    /// The system's error.
    Io(#[from] std::io::Error),
}

/// Large errors are boxed, so that a result stays small.
macro_rules! boxed {
    ($($variant:ident($error:ty),)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Error::$variant(Box::new(error))
            }
        })*
    };
}

boxed! {
    Autograd(crate::autograd::Error),
    Nn(crate::nn::Error),
    Probe(crate::probe::Error),
    Data(crate::study::data::Error),
    Study(crate::study::Error),
    Report(crate::report::Error),
}

impl From<crate::spec::Fault> for Error {
    fn from(fault: crate::spec::Fault) -> Self {
        crate::nn::Error::from(fault).into()
    }
}

/// So that `?` works in the loss of a training step and in a network of one's own, too.
impl From<Error> for crate::nn::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Nn(error) => *error,
            other => crate::nn::Error::other(other),
        }
    }
}
