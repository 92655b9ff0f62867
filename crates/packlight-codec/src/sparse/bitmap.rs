//! `bitmap`: the values that are not zero, and a bit for each element. Lossless.
//!
//! Hosny, Neseem and Reda, "Sparse bitmap compression for memory-efficient training on the edge"
//! (BitTrain, SEC 2021). It gains where ReLUs have left zeros; with less than 1/32 zeros (in f32) it
//! takes more than the tensor itself.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::bit_mask;
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::sparse::masked::Masked;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "bitmap",
    parameters: &[],
    summary: "the values that are not zero and a bit mask; lossless",
    examples: &["bitmap"],
    build: |_| Ok(Arc::new(Bitmap)),
};

/// Keeps the elements that are not zero.
#[derive(Debug)]
pub struct Bitmap;

impl Codec for Bitmap {
    fn spec(&self) -> String {
        ENTRY.name.into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear])
    }

    fn bytes(&self, _: &Site<'_>, _: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        let elements: usize = shape.iter().product();
        let mask = elements.div_ceil(8);
        [mask, mask + elements * dtype.size_in_bytes()]
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        Ok(Box::new(Masked::new(input, bit_mask::non_zero(input)?)?))
    }
}
