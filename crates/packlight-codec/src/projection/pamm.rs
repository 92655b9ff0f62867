//! `pamm:<k>`: each token as a multiple of one of k tokens.
//!
//! "PAMM", ICLR 2026, arXiv 2506.02939. Of the input A (T,n), k random rows C are saved, and for each
//! row the index f(i) of the one with the largest cosine and the factor
//! alpha_i = <A_i,C_f> / |C_f|^2 that brings it closest. The weight's gradient is B~^T C, where row
//! j of B~ is the sum of alpha_i G_i over the rows i that have f(i) = j. The paper can drop rows
//! that are far from all of C; here every row counts. The layer's key of that step draws the rows.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::{linear, nearest_line};
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::low_rank::scaling::squarable;
use crate::projection::tokens;
use crate::{Bytes, Codec, Op, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "pamm",
    parameters: &[Parameter::new("k", Kind::Whole(1, u64::MAX), "number of tokens saved")],
    summary: "k random tokens, and each token as a multiple of one of them (linear inputs)",
    examples: &["pamm:4"],
    build: |values| Ok(Arc::new(Pamm { kept: values.get("k")? })),
};

/// Multiples of this many tokens, or of all where there are fewer.
#[derive(Debug)]
pub struct Pamm {
    kept: usize,
}

/// The type of indices of `kept` tokens.
fn index_dtype(kept: usize) -> DType {
    if kept <= 256 { DType::U8 } else { DType::U32 }
}

impl Codec for Pamm {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.kept])
    }

    /// All linear layers; the paper takes the queries, keys and values, which a plan can name.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let (tokens, features) = tokens::lengths(self, shape, site.axes)?;
        let kept = self.kept.min(tokens);
        Ok(Some(Bytes {
            payload: (kept * features + tokens) * dtype.size_in_bytes(),
            metadata: tokens * index_dtype(kept).size_in_bytes(),
        }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (tokens, _) = tokens::lengths(self, input.dims(), site.axes)?;
        let rows = tokens::as_matrix(input)?;
        let chosen = tokens::some_of(tokens, self.kept, site.key);
        let kept = chosen.len();
        let chosen = Tensor::from_vec(chosen, kept, rows.device())?;
        let lines = rows.index_select(&chosen, 0)?;
        // Neither indices nor factors depend on the scale.
        let scaled = squarable(&rows)?;
        let (indices, factors) = nearest_line::nearest(&scaled, &scaled.index_select(&chosen, 0)?)?;
        let indices = indices.to_dtype(index_dtype(kept))?;
        Ok(Box::new(Multiples { lines, indices, factors, shape: input.dims().to_vec() }))
    }
}

struct Multiples {
    /// C (kept, features)
    lines: Tensor,
    /// f (tokens)
    indices: Tensor,
    /// alpha (tokens)
    factors: Tensor,
    shape: Vec<usize>,
}

impl Packed for Multiples {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.lines, &self.factors], [&self.indices])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        let indices = self.indices.to_dtype(DType::U32)?;
        let rows = nearest_line::restore(&self.lines, &indices, &self.factors)?;
        Ok(rows.reshape(&self.shape[..])?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let Op::Linear { .. } = op else { return Ok(None) };
        let (indices, output_grad) =
            (self.indices.to_dtype(DType::U32)?, tokens::as_matrix(output_grad)?);
        let sums = nearest_line::gather(&output_grad, &indices, &self.factors, self.lines.dim(0)?)?;
        Ok(Some(linear::weight_grad(&self.lines, &sums)?))
    }
}
