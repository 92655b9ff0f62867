//! A call of a kernel as plain data, which a device carries out.

use candle_core::{DType, Shape, Tensor};

use super::Launch;
use crate::conv2d::Conv2dGeometry;
use crate::{Error, Result};

/// What carries out calls: a CUDA device, or the host shim of the tests.
pub trait Gpu {
    /// Runs the kernel on contiguous tensors, and returns its outputs in the order of the arguments.
    ///
    /// # Errors
    /// Returns an error if a tensor is not on this device, there is no such kernel, or it fails.
    fn run(&self, call: &Call) -> Result<Vec<Tensor>>;

    /// The product of two matrices, or of each two of two batches, whose sums are in f32 or wider: candle's, which
    /// is cuBLAS's.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit or the device fails.
    fn product(&self, left: &Tensor, right: &Tensor) -> candle_core::Result<Tensor> {
        left.matmul(right)
    }

    /// What a routine of the device's own makes of two tensors in one of the three passes of a convolution, of
    /// this shape; `None` where it has none for them.
    ///
    /// # Errors
    /// Returns an error if the routine fails.
    fn convolution(
        &self,
        _pass: ConvolutionPass,
        _operands: [&Tensor; 2],
        _shape: &[usize],
        _geometry: &Conv2dGeometry,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// A pass of a convolution, by its two operands and its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConvolutionPass {
    /// Input and weight give the output.
    Forward,
    /// The output's gradient and the weight give the input's gradient.
    InputGrad,
    /// The input and the output's gradient give the weight's gradient.
    WeightGrad,
}

/// A call of a kernel: its name, its launch, and its arguments in the order of its parameters.
#[derive(Debug)]
pub struct Call {
    /// The name of the entry point.
    pub name: String,
    /// The blocks.
    pub launch: Launch,
    /// The arguments.
    pub arguments: Vec<Argument>,
    /// The kernel, for errors.
    pub(crate) kernel: &'static str,
    dtype: DType,
    misfit: Option<Error>,
}

/// An argument, and the parameter that takes it.
#[derive(Debug, Clone)]
pub enum Argument {
    /// The elements of a tensor: `const T*`.
    Input(Tensor),
    /// The elements of a new tensor, which the kernel writes all of: `T*`.
    Output(Shape, DType),
    /// The elements of a tensor, which the kernel changes: `T*`.
    InOut(Tensor),
    /// No tensor: a null pointer to elements of this type.
    Missing(DType),
    /// A size: `Index`.
    Size(i64),
    /// 32 bits: `uint32_t`.
    U32(u32),
    /// 64 bits: `uint64_t`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// `double`.
    F64(f64),
}

impl Call {
    /// A call of the kernel `name` for tensors of `dtype`, f32 or bf16 (`KERNELS(name)` in its `.cu`).
    ///
    /// # Errors
    /// Returns an error if the kernel does not compute in this type.
    pub fn typed(name: &'static str, dtype: DType, launch: Launch) -> Result<Self> {
        let suffix = match dtype {
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            found => {
                let reason = format!(
                    "a CUDA device computes in f32 or bf16, found {found:?}; convert the tensor first"
                );
                return Err(Error::shape(name, reason));
            }
        };
        let (name, kernel) = (format!("{name}_{suffix}"), name);
        Ok(Self { name, kernel, launch, dtype, arguments: Vec::new(), misfit: None })
    }

    /// A call of the kernel `name`, whose types are fixed (`KERNEL(name)` in its `.cu`).
    pub fn plain(name: &'static str, launch: Launch) -> Self {
        let (name, kernel) = (format!("{name}_kernel"), name);
        let dtype = DType::F32;
        Self { name, kernel, launch, dtype, arguments: Vec::new(), misfit: None }
    }

    /// A tensor of the call's type, to be read.
    pub fn input(self, tensor: &Tensor) -> Self {
        let dtype = self.dtype;
        self.input_of(dtype, tensor)
    }

    /// A tensor of another type, to be read.
    pub fn input_of(mut self, dtype: DType, tensor: &Tensor) -> Self {
        match tensor.contiguous() {
            Ok(tensor) => self.push_checked(dtype, tensor.dtype(), Argument::Input(tensor)),
            Err(error) => {
                let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
                self.misfit.get_or_insert(Error::from(error).asking(self.kernel, bytes));
                self
            }
        }
    }

    /// A tensor of another type to be read, if there is one.
    pub fn optional_of(self, dtype: DType, tensor: Option<&Tensor>) -> Self {
        match tensor {
            Some(tensor) => self.input_of(dtype, tensor),
            None => self.push(Argument::Missing(dtype)),
        }
    }

    /// A new tensor of the call's type.
    pub fn output(self, shape: impl Into<Shape>) -> Self {
        let dtype = self.dtype;
        self.output_of(dtype, shape)
    }

    /// A new tensor of another type.
    pub fn output_of(self, dtype: DType, shape: impl Into<Shape>) -> Self {
        self.push(Argument::Output(shape.into(), dtype))
    }

    /// A contiguous tensor of the call's type, to be changed in place.
    pub fn in_out(mut self, tensor: &Tensor) -> Self {
        if !tensor.is_contiguous() {
            let reason = "a tensor that is changed in place is not contiguous";
            self.misfit.get_or_insert(Error::shape(self.kernel, reason));
        }
        let dtype = self.dtype;
        self.push_checked(dtype, tensor.dtype(), Argument::InOut(tensor.clone()))
    }

    /// A size or an index (`Index`).
    pub fn size(self, size: usize) -> Self {
        self.push(Argument::Size(size as i64))
    }

    /// A number of 32 bits.
    pub fn u32(self, number: u32) -> Self {
        self.push(Argument::U32(number))
    }

    /// A number of 64 bits.
    pub fn u64(self, number: u64) -> Self {
        self.push(Argument::U64(number))
    }

    /// A number in f32.
    pub fn f32(self, number: f32) -> Self {
        self.push(Argument::F32(number))
    }

    /// A number in f64.
    pub fn f64(self, number: f64) -> Self {
        self.push(Argument::F64(number))
    }

    /// Runs the kernel and returns its outputs, of which there must be `N`.
    ///
    /// # Errors
    /// Returns an error if an argument is not of the expected type or on another device, or the
    /// device fails.
    pub fn run<const N: usize>(mut self, gpu: &dyn Gpu) -> Result<[Tensor; N]> {
        if let Some(misfit) = self.misfit.take() {
            return Err(misfit);
        }
        let found = gpu.run(&self)?;
        let count = found.len();
        found
            .try_into()
            .map_err(|_| Error::shape(self.kernel, format!("{N} outputs expected of {count}")))
    }

    /// The same call with other tensors in the place of those that are read or changed.
    ///
    /// # Errors
    /// Returns the error of `other`.
    pub fn with_tensors(
        &self,
        other: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Self> {
        let argument = |argument: &Argument| {
            Ok(match argument {
                Argument::Input(tensor) => Argument::Input(other(tensor)?),
                Argument::InOut(tensor) => Argument::InOut(other(tensor)?),
                same => same.clone(),
            })
        };
        let arguments = self.arguments.iter().map(argument).collect::<Result<_>>()?;
        let (name, kernel, launch, dtype) =
            (self.name.clone(), self.kernel, self.launch, self.dtype);
        Ok(Self { name, kernel, launch, dtype, arguments, misfit: None })
    }

    fn push_checked(mut self, expected: DType, found: DType, argument: Argument) -> Self {
        if found != expected {
            self.misfit.get_or_insert(Error::DType { kernel: self.kernel, found });
        }
        self.push(argument)
    }

    fn push(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        self
    }
}
