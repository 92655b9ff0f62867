//! `outlier:<share>`: the largest magnitudes apart, codes of 2 bits for the others.
//!
//! As HyC-LoRA ("HyC-LoRA: memory efficient LoRA fine-tuning with hybrid activation compression", MLSys
//! 2025) saves what its operators need: the outliers are taken out, so that they do not stretch the steps
//! of their groups, and the others become codes of 2 bits. This share of the largest magnitudes of the
//! whole tensor is saved exactly, in the tensor's type, each with its flat index (u32). The others are
//! coded as `q2` codes them, with 0 in the place of the outliers; of 2 bits and 1 % of outliers in f32,
//! that is 2.765 bits a value.
//!
//! The authors' code saves the features with the largest norms whole, so that a few indices suffice, picks
//! them in the first steps, has one step a feature from the batch's first sample, and rounds to the
//! nearest. Here outliers are single values, which images and scores have, too, groups are those of `q2`,
//! and rounding is random, so that weight gradients are unbiased and only the outliers tell the two
//! codecs apart. Their compensation by LoRA's adapters is a matter of those layers.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::Rounding;
use packlight_kernels::top_k;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::quantise::grouped::{Code, Grouped};
use crate::quantise::quantised::GROUP;
use crate::sparse::share_of;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "outlier",
    parameters: &[Parameter::new(
        "share",
        Kind::Positive(1.0),
        "share of the values saved exactly",
    )],
    summary: "the largest magnitudes exactly, the others in 2 bits like q2",
    examples: &["outlier:0.01", "outlier:0.1"],
    build: |values| Ok(Arc::new(Outlier { share: values.get("share")? })),
};

/// The code of all but the outliers.
const CODE: Code = Code { group: GROUP, bits: 2 };

/// Keeps this share of the largest magnitudes apart.
#[derive(Debug)]
pub struct Outlier {
    share: f64,
}

impl Codec for Outlier {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.share])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let outliers = share_of(self.share, shape.iter().product());
        Ok(Some(with_outliers(CODE.bytes(shape), outliers, dtype)))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let indices = top_k::indices(input, share_of(self.share, input.elem_count()))?;
        let values = top_k::gather(input, &indices)?;
        let others = top_k::put(input, &values.zeros_like()?, &indices)?;
        let others = CODE.pack(&others, Rounding::Stochastic(site.key))?;
        Ok(Box::new(Apart { others, values, indices }))
    }
}

/// The bytes of the codes, and so many values with their indices.
fn with_outliers(codes: Bytes, outliers: usize, dtype: DType) -> Bytes {
    Bytes {
        payload: codes.payload + outliers * dtype.size_in_bytes(),
        metadata: codes.metadata + outliers * DType::U32.size_in_bytes(),
    }
}

struct Apart {
    others: Grouped,
    /// The outliers.
    values: Tensor,
    /// Where they belong.
    indices: Tensor,
}

impl Packed for Apart {
    fn bytes(&self) -> Bytes {
        with_outliers(self.others.bytes(), self.values.elem_count(), self.values.dtype())
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(top_k::put_over(self.others.unpack()?, &self.values, &self.indices)?)
    }
}
