//! `qb:<k>`: a random low-rank factorisation.
//!
//! LoRAct, arXiv 2509.23472. Of the input A (m,n) with m <= n, k random rows serve as test matrix,
//! Omega = `A[rows]^T`; with Q (m,k) from the QR factorisation of A Omega, Q and B = Q^T A (k,n) are
//! kept, k(m+n) numbers. Where m > n, as with most inputs, the same is done to A^T. Exact where
//! the rank of A is at most k. Which rows are taken follows from the layer's key of that step. The
//! authors divide A Omega by sqrt(n), which changes nothing in Q.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::linear;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_record::LayerKind;

use crate::low_rank::LowRank;
use crate::registry::Entry;
use crate::scaling::squarable;
use crate::spec::{number, only};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope, tokens};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "qb:<k>",
    summary: "two factors of rank k, by QR of a product with k random rows (linear inputs)",
    examples: &["qb:4"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let expected = "the rank of the factors, as in `qb:64`,";
    let rank = only(spec, "qb", "qb:64")?.and_then(|rank| number(spec, rank, 1.., expected));
    Some(rank.map(|rank| Arc::new(Qb { rank }) as _))
}

/// Factors of this rank, or of the full one where that is less.
#[derive(Debug)]
pub struct Qb {
    rank: usize,
}

impl Codec for Qb {
    fn name(&self) -> String {
        format!("qb:{}", self.rank)
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        let (tokens, features) = tokens::lengths(self, shape, axes)?;
        let elements = self.rank.min(tokens).min(features) * (tokens + features);
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let (tokens, features) = tokens::lengths(self, input.dims(), context.axes)?;
        let (matrix, shape) = (tokens::as_matrix(input)?, input.dims().to_vec());
        let tall = tokens > features;
        let wide = if tall { matrix.t()?.contiguous()? } else { matrix };
        let rows = tokens::some_of(tokens.min(features), self.rank, context.key);
        let rows = Tensor::from_vec(rows.clone(), rows.len(), input.device())?;
        let scaled = squarable(&wide)?;
        let q = orthonormalise(&linear::forward(&scaled, &scaled.index_select(&rows, 0)?, None)?)?;
        let b = linear::weight_grad(&wide, &q)?; // Q^T A
        let (left, right) = if tall { (b.t()?, q.t()?) } else { (q, b) };
        Ok(Box::new(LowRank { left: left.contiguous()?, right: right.contiguous()?, shape }))
    }
}
