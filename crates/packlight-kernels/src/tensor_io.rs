//! Reading and writing over a tensor's elements, with checks of device, size and values.

use std::cell::Cell;
use std::marker::PhantomData;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, StorageRef, Tensor, WithDType};
use rayon::prelude::*;

use crate::dtype::Element;
use crate::par_vec::LARGEST_PIECE;
use crate::simd_dispatch::on_widest_vectors;
use crate::{Error, Result};

/// A contiguous tensor on the CPU, held for reading.
pub(crate) struct Reader<'a> {
    storage: StorageRef<'a>,
    range: (usize, usize),
}

impl<'a> Reader<'a> {
    /// Holds `tensor`, which must be contiguous.
    pub(crate) fn new(tensor: &'a Tensor, kernel: &'static str) -> Result<Self> {
        on_cpu(tensor, kernel)?;
        let (storage, layout) = tensor.storage_and_layout();
        let range = layout
            .contiguous_offsets()
            .ok_or_else(|| Error::shape(kernel, "the tensor is not contiguous"))?;
        Ok(Self { storage, range })
    }

    /// Its elements in row-major order.
    pub(crate) fn elements<T: WithDType>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(&storage.as_slice::<T>()?[self.range.0..self.range.1]),
            _ => Ok(&[]), // `new` lets no other device through
        }
    }
}

/// What `change` returns, which may write over the elements of `tensor` in row-major order. Nothing else may
/// hold the tensor, which must be contiguous.
pub(crate) fn write_over<T: Element, R>(
    tensor: &Tensor,
    kernel: &'static str,
    change: impl FnOnce(&mut [T]) -> R,
) -> Result<R> {
    on_cpu(tensor, kernel)?;
    if tensor.elem_count() == 0 {
        return Ok(change(&mut [])); // candle takes strides of 0 for elements that are repeated
    }
    let over = WriteOver {
        kernel,
        change: Cell::new(Some(change)),
        result: Cell::new(None),
        element: PhantomData::<T>,
    };
    tensor.inplace_op1(&over)?;
    over.result.into_inner().ok_or_else(|| Error::shape(kernel, "the tensor is not contiguous"))
}

/// A change of a tensor in place, once, and its result.
struct WriteOver<T, F, R> {
    kernel: &'static str,
    change: Cell<Option<F>>,
    result: Cell<Option<R>>,
    element: PhantomData<T>,
}

impl<T: Element, F: FnOnce(&mut [T]) -> R, R> InplaceOp1 for WriteOver<T, F, R> {
    fn name(&self) -> &'static str {
        self.kernel
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let elements = T::elements_mut(storage).zip(layout.contiguous_offsets());
        let change = self.change.take().zip(elements);
        self.result.set(change.map(|(change, (all, (from, to)))| change(&mut all[from..to])));
        Ok(())
    }
}

/// Returns an error if `tensor` is not on the CPU.
pub(crate) fn on_cpu(tensor: &Tensor, kernel: &'static str) -> Result<()> {
    let device = match tensor.device() {
        Device::Cpu => return Ok(()),
        Device::Cuda(_) => "CUDA",
        Device::Metal(_) => "Metal",
    };
    Err(Error::NoDeviceKernel { kernel, device })
}

/// Returns an error if a gradient has another shape than an operation's input or output, given with that word.
pub(crate) fn same_shape(
    kernel: &'static str,
    (what, found): (&str, &[usize]),
    grad: &Tensor,
) -> Result<()> {
    match found == grad.dims() {
        true => Ok(()),
        false => {
            let of_grad = grad.dims();
            Err(Error::shape(kernel, format!("{what} {found:?} and gradient {of_grad:?} differ")))
        }
    }
}

/// More elements than any machine can hold, but few enough for sizes not to overflow.
const MOST: usize = 1 << 48;

/// The number of elements of a tensor of this shape; an error if there are too many.
pub(crate) fn count(kernel: &'static str, shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    count
        .filter(|&count| count <= MOST)
        .ok_or_else(|| Error::shape(kernel, format!("{shape:?} has too many elements")))
}

/// Elements per task of the search for values that are not finite.
const PIECE: usize = LARGEST_PIECE;

/// Returns an error if an element of the input is NaN or infinite.
pub(crate) fn check_finite<T: Element>(kernel: &'static str, input: &[T]) -> Result<()> {
    match input.par_chunks(PIECE).all(all_finite) {
        true => Ok(()),
        false => Err(Error::NotFinite { kernel, what: "the input" }),
    }
}

on_widest_vectors! {
    fn all_finite<T: Element>(values: &[T]) -> bool {
        values.iter().fold(true, |all, &value| all & (value.abs() <= T::max_value()))
    }
}

/// Binds each tensor's elements to its own name: `read!(KERNEL; x: T, labels: u32)`.
macro_rules! read {
    ($kernel:expr; $($tensor:ident : $element:ty),+) => {
        $(
            let contiguous = $tensor.contiguous()?;
            let reader = $crate::tensor_io::Reader::new(&contiguous, $kernel)?;
            let $tensor: &[$element] = reader.elements::<$element>()?;
        )+
    };
}

/// Evaluates the body with `T` as the element type of a tensor.
macro_rules! by_dtype {
    ($kernel:expr, $tensor:expr, $element:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $element = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $element = f64;
                $body
            }
            found => Err($crate::Error::DType { kernel: $kernel, found }),
        }
    };
}

pub(crate) use {by_dtype, read};
