//! Inputs that a kernel reads a piece at a time: tensors, or codes that it restores as it reads them.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::Result;
use crate::dtype::Element;
use crate::par_vec::refill;
use crate::quantise::{Coded, Codes, decode, unpack};
use crate::tensor_io::Reader;

/// The values of a tensor, as they are or as codes.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// As they are.
    Tensor(&'a Tensor),
    /// As codes.
    Coded(Coded<'a>),
}

// Kernels with loops take `Values`, not `impl Into<Values>`: a generic function is compiled in the crate that calls it,
// where the loops of GELU and layer norm lost their vectors (a ViT's step took 1.7 times as long).
impl<'a> From<&'a Tensor> for Values<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Values::Tensor(tensor)
    }
}

impl Values<'_> {
    /// The shape of the tensor.
    pub fn dims(&self) -> &[usize] {
        match self {
            Values::Tensor(tensor) => tensor.dims(),
            Values::Coded(coded) => coded.shape,
        }
    }

    /// Their type.
    pub fn dtype(&self) -> DType {
        match self {
            Values::Tensor(tensor) => tensor.dtype(),
            Values::Coded(coded) => coded.dtype,
        }
    }

    /// Where the values are.
    pub fn device(&self) -> &Device {
        match self {
            Values::Tensor(tensor) => tensor.device(),
            Values::Coded(coded) => coded.codes.device(),
        }
    }

    /// The whole tensor.
    ///
    /// # Errors
    /// Returns an error if codes do not fit the shape, or the type or device is not supported.
    pub fn restored(&self) -> Result<Tensor> {
        match self {
            Values::Tensor(tensor) => Ok((*tensor).clone()),
            Values::Coded(coded) => unpack(coded),
        }
    }

    /// What `compute` makes of the values, which must be on the CPU.
    pub(crate) fn read<T: Element, R>(
        &self,
        kernel: &'static str,
        compute: impl FnOnce(Elements<'_, T>) -> Result<R>,
    ) -> Result<R> {
        match self {
            Values::Tensor(tensor) => {
                let contiguous = tensor.contiguous()?;
                let reader = Reader::new(&contiguous, kernel)?;
                compute(Elements::AsTheyAre(reader.elements()?))
            }
            Values::Coded(coded) => coded.read(|codes| compute(Elements::Coded(codes))),
        }
    }
}

/// The values in row-major order.
pub(crate) enum Elements<'a, T> {
    AsTheyAre(&'a [T]),
    Coded(Codes<'a>),
}

/// Elements per parallel task of a change.
const PIECE: usize = 8192;

/// Elements that a task restores at a time, into the nearest cache.
const NEAR: usize = 2048;

impl<T: Element> Elements<'_, T> {
    /// Some of them; codes are restored into `buffer`.
    #[inline]
    pub(crate) fn read<'s>(&'s self, elements: Range<usize>, buffer: &'s mut Vec<T>) -> &'s [T] {
        match self {
            Elements::AsTheyAre(all) => &all[elements],
            Elements::Coded(codes) => {
                refill(buffer, elements.len(), |blank| decode(codes, elements, blank));
                buffer
            }
        }
    }

    /// Changes `target`, of as many elements, by `change`, given elements of both with the same indices.
    pub(crate) fn change(&self, target: &mut [T], change: impl Fn(&[T], &mut [T]) + Sync) {
        target.par_chunks_mut(PIECE).enumerate().for_each(|(number, target)| {
            let (starts, mut buffer) = ((number * PIECE..).step_by(NEAR), Vec::new());
            for (start, target) in starts.zip(target.chunks_mut(NEAR)) {
                change(self.read(start..start + target.len(), &mut buffer), target);
            }
        });
    }

    /// Like [`read`](Self::read), for so many of them that all threads restore them.
    pub(crate) fn read_many<'s>(
        &'s self,
        elements: Range<usize>,
        buffer: &'s mut Vec<T>,
    ) -> &'s [T] {
        match self {
            Elements::AsTheyAre(all) => &all[elements],
            Elements::Coded(codes) => {
                refill(buffer, elements.len(), |blank| codes.restore(elements, blank));
                buffer
            }
        }
    }
}
