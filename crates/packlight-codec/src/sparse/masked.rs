//! Some of a tensor's elements, and one bit for each that says whether it is among them.

use candle_core::Tensor;
use packlight_kernels::bit_mask;

use crate::{Bytes, Packed, Result};

/// The elements whose bits are set; the others are restored as 0.
pub(crate) struct Masked {
    values: Tensor,
    mask: Tensor,
    shape: Vec<usize>,
}

impl Masked {
    /// Keeps the elements of `input` that `mask` (u8, eight elements in a byte) names.
    pub(crate) fn new(input: &Tensor, mask: Tensor) -> Result<Self> {
        let values = bit_mask::compress(input, &mask)?;
        Ok(Self { values, mask, shape: input.dims().to_vec() })
    }
}

impl Packed for Masked {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.values], [&self.mask])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(bit_mask::expand(&self.values, &self.mask, &self.shape)?)
    }
}
