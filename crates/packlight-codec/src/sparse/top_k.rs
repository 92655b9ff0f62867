//! `topk:<keep>` and `topk:<keep>:mask`: the largest magnitudes.
//!
//! Without `mask`, DropIT: Chen, Xu, Wang et al., "DropIT: dropping intermediate tensors for
//! memory-efficient DNN training" (ICLR 2023): the largest of the whole batch's tensor, each with its
//! flat index (u32). With `mask`, Back Razor: Jiang, Chen, Huang et al., "Back Razor: memory-efficient
//! transfer learning by self-sparsified backpropagation" (NeurIPS 2022): the largest of each sample,
//! with one bit for every element, which is smaller where more than 1 in 32 is kept.
//!
//! The authors' code rounds the number of values down, and Back Razor's saves whatever reaches the
//! threshold. Here it is the nearest whole number, at least 1, and exact: of equal magnitudes the
//! first are saved.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::top_k;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter, word};
use crate::quantise::grouped::samples;
use crate::sparse::masked::Masked;
use crate::sparse::share_of;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "topk",
    parameters: &[
        Parameter::new("keep", Kind::Positive(1.0), "share of the values that is saved"),
        Parameter::words(
            &["mask"],
            "the largest of each sample and a bit mask, not of the batch and indices",
        ),
    ],
    summary: "the largest magnitudes",
    examples: &["topk:0.1", "topk:0.3", "topk:0.1:mask", "topk:1:mask"],
    build: |values| Ok(Arc::new(TopK { keep: values.get("keep")?, masked: values.has("mask") })),
};

/// Keeps this share of the largest magnitudes.
#[derive(Debug)]
pub struct TopK {
    keep: f64,
    /// Of each sample, with a bit mask; otherwise of the batch, with indices.
    masked: bool,
}

impl Codec for TopK {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.keep, &word(self.masked, "mask")])
    }

    /// DropIT drops of the inputs of convolutions and linear layers, Back Razor of others, too.
    fn scope(&self) -> Scope {
        match self.masked {
            false => Scope::Kinds(&[LayerKind::Conv, LayerKind::Linear]),
            true => Scope::Kinds(&[
                LayerKind::Conv,
                LayerKind::Linear,
                LayerKind::Norm,
                LayerKind::Activation,
                LayerKind::Attention,
            ]),
        }
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let elements = shape.iter().product::<usize>();
        let (kept, metadata) = match self.masked {
            false => {
                let kept = share_of(self.keep, elements);
                (kept, kept * DType::U32.size_in_bytes())
            }
            true => {
                let samples = samples(shape);
                let of_each = elements.checked_div(samples).unwrap_or(0);
                (samples * share_of(self.keep, of_each), elements.div_ceil(8))
            }
        };
        Ok(Some(Bytes { payload: kept * dtype.size_in_bytes(), metadata }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let elements = input.elem_count();
        if self.masked {
            let samples = samples(input.dims());
            let of_each = elements.checked_div(samples).unwrap_or(0);
            let mask = top_k::mask(input, samples, share_of(self.keep, of_each))?;
            return Ok(Box::new(Masked::new(input, mask)?));
        }
        let indices = top_k::indices(input, share_of(self.keep, elements))?;
        let values = top_k::gather(input, &indices)?;
        Ok(Box::new(Indexed { values, indices, shape: input.dims().to_vec() }))
    }
}

struct Indexed {
    values: Tensor,
    indices: Tensor,
    shape: Vec<usize>,
}

impl Packed for Indexed {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.values], [&self.indices])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(top_k::scatter(&self.values, &self.indices, &self.shape)?)
    }
}
