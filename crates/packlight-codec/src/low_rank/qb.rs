//! `qb:<k>`: a random low-rank factorisation.
//!
//! LoRAct, arXiv 2509.23472. Of the input A (m,n) with m <= n, k random rows serve as test matrix,
//! Omega = `A[rows]^T`; with Q (m,k) from the QR factorisation of A Omega, Q and B = Q^T A (k,n) are
//! saved, k(m+n) numbers. Where m > n, as for most inputs, A^T is factorised instead. Exact where the
//! rank of A is at most k. The layer's key of that step draws the rows. The authors divide A Omega by
//! sqrt(n), which does not change Q.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::linear;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::low_rank::factors::LowRank;
use crate::low_rank::scaling::squarable;
use crate::projection::tokens;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "qb",
    parameters: &[Parameter::new("k", Kind::Whole(1, u64::MAX), "rank of the factors")],
    summary: "two factors of rank k, by QR of a product with k random rows (linear inputs)",
    examples: &["qb:4"],
    build: |values| Ok(Arc::new(Qb { rank: values.get("k")? })),
};

/// Factors of this rank, or of the full one where that is less.
#[derive(Debug)]
pub struct Qb {
    rank: usize,
}

impl Codec for Qb {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.rank])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let (tokens, features) = tokens::lengths(self, shape, site.axes)?;
        let elements = self.rank.min(tokens).min(features) * (tokens + features);
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (tokens, features) = tokens::lengths(self, input.dims(), site.axes)?;
        let (matrix, shape) = (tokens::as_matrix(input)?, input.dims().to_vec());
        let tall = tokens > features;
        let wide = if tall { matrix.t()?.contiguous()? } else { matrix };
        let rows = tokens::some_of(tokens.min(features), self.rank, site.key);
        let rows = Tensor::from_vec(rows.clone(), rows.len(), input.device())?;
        let scaled = squarable(&wide)?;
        let q = orthonormalise(&linear::forward(&scaled, &scaled.index_select(&rows, 0)?, None)?)?;
        let b = linear::weight_grad(&wide, &q)?; // Q^T A
        let (left, right) = if tall { (b.t()?, q.t()?) } else { (q, b) };
        Ok(Box::new(LowRank { left: left.contiguous()?, right: right.contiguous()?, shape }))
    }
}
