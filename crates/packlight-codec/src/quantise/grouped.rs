//! Groups of values within each sample as affine codes of a few bits, which several codecs save.

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};

use crate::{Bytes, Packed, Result};

/// Bytes of a group's minimum and scale, both bf16.
pub(crate) const RANGE_BYTES: usize = 4;

/// The elements of each sample of a tensor of this shape; a vector is one sample.
pub(crate) fn features(shape: &[usize]) -> usize {
    match shape {
        [_, features @ ..] if !features.is_empty() => features.iter().product(),
        _ => shape.iter().product(),
    }
}

/// The samples of a tensor of this shape.
pub(crate) fn samples(shape: &[usize]) -> usize {
    shape.iter().product::<usize>().checked_div(features(shape)).unwrap_or(0)
}

/// A code: its groups and bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    /// Elements of a group.
    pub(crate) group: usize,
    /// Bits of a code.
    pub(crate) bits: u8,
}

impl Code {
    fn grouping(&self, row: usize) -> Grouping<'static> {
        Grouping { row, group: self.group, bits: Bits::All(self.bits) }
    }

    /// The bytes that a tensor of this shape will take.
    pub(crate) fn bytes(&self, shape: &[usize]) -> Bytes {
        let (samples, grouping) = (samples(shape), self.grouping(features(shape)));
        Bytes {
            payload: grouping.bytes(samples),
            metadata: samples * grouping.groups_per_row() * RANGE_BYTES,
        }
    }

    /// Packs a tensor, each sample in groups of its own.
    pub(crate) fn pack(&self, input: &Tensor, rounding: Rounding) -> Result<Grouped> {
        let grouping = self.grouping(features(input.dims()));
        let (codes, ranges) = quantise::pack(input, &grouping, rounding)?;
        let (shape, dtype) = (input.dims().to_vec(), input.dtype());
        Ok(Grouped { code: *self, codes, ranges, shape, dtype })
    }
}

/// A tensor packed as [`Code`] says.
pub(crate) struct Grouped {
    code: Code,
    codes: Tensor,
    ranges: Tensor,
    shape: Vec<usize>,
    dtype: DType,
}

impl Grouped {
    fn as_coded(&self) -> Coded<'_> {
        let Self { codes, ranges, shape, dtype, .. } = self;
        let grouping = self.code.grouping(features(&self.shape));
        Coded { codes, ranges, grouping, shape, dtype: *dtype }
    }
}

impl Packed for Grouped {
    fn bytes(&self) -> Bytes {
        self.code.bytes(&self.shape)
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(quantise::unpack(&self.as_coded())?)
    }

    fn coded(&self) -> Option<Coded<'_>> {
        Some(self.as_coded())
    }
}
