//! `pamm:<k>`: each token as a multiple of one of k tokens.
//!
//! "PAMM", ICLR 2026, arXiv 2506.02939. Of the input A (T,n) k random rows C are kept, and for each
//! row which of them, f(i), has the largest cosine with it, and the factor
//! alpha_i = <A_i,C_f> / |C_f|^2 that brings it closest. The weight's gradient is B~^T C, where row
//! j of B~ is the sum of alpha_i G_i over the rows i that have f(i) = j. The paper can drop rows
//! that are far from all of C; here every row counts. Which rows are kept follows from the layer's
//! key of that step.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::{linear, nearest_line};
use packlight_record::LayerKind;

use crate::registry::Entry;
use crate::scaling::squarable;
use crate::spec::{number, only};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope, tokens};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "pamm:<k>",
    summary: "k random tokens, and each token as a multiple of one of them (linear inputs)",
    examples: &["pamm:4"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let expected = "the number of tokens kept, as in `pamm:64`,";
    let kept = only(spec, "pamm", "pamm:64")?.and_then(|kept| number(spec, kept, 1.., expected));
    Some(kept.map(|kept| Arc::new(Pamm { kept }) as _))
}

/// Multiples of this many tokens, or of all where there are fewer.
#[derive(Debug)]
pub struct Pamm {
    kept: usize,
}

/// The type in which the indices of `kept` tokens are kept.
fn index_dtype(kept: usize) -> DType {
    if kept <= 256 { DType::U8 } else { DType::U32 }
}

impl Codec for Pamm {
    fn name(&self) -> String {
        format!("pamm:{}", self.kept)
    }

    /// All linear layers; the paper takes the queries, keys and values, which a plan can name.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        let (tokens, features) = tokens::lengths(self, shape, axes)?;
        let kept = self.kept.min(tokens);
        Ok(Some(Bytes {
            payload: (kept * features + tokens) * dtype.size_in_bytes(),
            metadata: tokens * index_dtype(kept).size_in_bytes(),
        }))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let (tokens, _) = tokens::lengths(self, input.dims(), context.axes)?;
        let rows = tokens::as_matrix(input)?;
        let chosen = tokens::some_of(tokens, self.kept, context.key);
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
        let size = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        Bytes { payload: size(&self.lines) + size(&self.factors), metadata: size(&self.indices) }
    }

    fn unpack(&self) -> Result<Tensor> {
        let indices = self.indices.to_dtype(DType::U32)?;
        let rows = nearest_line::restore(&self.lines, &indices, &self.factors)?;
        Ok(rows.reshape(&self.shape[..])?)
    }

    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        let (indices, grad) = (self.indices.to_dtype(DType::U32)?, tokens::as_matrix(grad)?);
        let sums = nearest_line::gather(&grad, &indices, &self.factors, self.lines.dim(0)?)?;
        Ok(linear::weight_grad(&self.lines, &sums)?)
    }
}
