//! `basis:<rank>`: signed sums of tokens in a few bins.
//!
//! "BASIS: balanced activation sketching with invariant scalars", arXiv 2604.16324. Each token of the
//! input X (T,n) is given a sign and one of `rank` bins by chance, as many tokens to each bin as to any
//! other, but for one. Of X only the signed sums S^T X (rank,n) of the bins are saved, times |X| / |S^T X|,
//! so that they have the norm of X (the invariant scalars). The backward pass sums the output gradient G in
//! the same bins, brings the sums to the norm of G in the same way, and takes the weight's gradient from
//! both sketches; the input's gradient is exact. S is drawn again from the layer's key of that step.
//!
//! `compact` projects the features of each token, so that its bytes grow with the tokens. Here tokens
//! are projected, and bytes depend on the features alone, as with `qb` and the tokens of `pamm`, but the
//! projection does not look at the input. Without the scalars the gradient would be unbiased, S S^T being
//! 1 on average; with them it is not, unless each token has a bin of its own, when it is exact. The
//! authors' code also takes 1 % off each sketch, which is 2 % of the learning rate and left out here.
//! Their language model has 64 tokens in a step, so that 32 bins save half.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::rng::Key;
use packlight_kernels::{linear, nearest_line, square};
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::projection::tokens;
use crate::{Bytes, Codec, Op, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "basis",
    parameters: &[Parameter::new("rank", Kind::Whole(1, u64::MAX), "number of bins")],
    summary: "signed sums of tokens in so many bins, at the norm of all tokens (linear inputs)",
    examples: &["basis:4"],
    build: |values| Ok(Arc::new(Basis { rank: values.get("rank")? })),
};

/// Sums in this many bins, or in one for each token where there are fewer.
#[derive(Debug)]
pub struct Basis {
    rank: usize,
}

impl Codec for Basis {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.rank])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let (tokens, features) = tokens::lengths(self, shape, site.axes)?;
        let payload = self.rank.min(tokens) * features * dtype.size_in_bytes();
        Ok(Some(Bytes { payload, metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (tokens, _) = tokens::lengths(self, input.dims(), site.axes)?;
        let bins = Bins { key: site.key, tokens, count: self.rank.min(tokens) };
        let sketch = bins.sketch(&tokens::as_matrix(input)?)?;
        Ok(Box::new(Sketched { sketch, bins, shape: input.dims().to_vec() }))
    }
}

/// The bin and the sign of each token.
struct Bins {
    /// What they are drawn from.
    key: Key,
    tokens: usize,
    count: usize,
}

impl Bins {
    /// The bin (tokens, u32) and the sign (tokens) of each token.
    fn draw(&self, like: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut stream = self.key.stream();
        let mut bins: Vec<u32> =
            (0..self.tokens).map(|token| (token % self.count) as u32).collect();
        stream.shuffle(&mut bins);
        let signs: Vec<f32> =
            bins.iter().map(|_| if stream.below(2) == 0 { -1.0 } else { 1.0 }).collect();
        let bins = Tensor::from_vec(bins, self.tokens, like.device())?;
        let signs = Tensor::from_vec(signs, self.tokens, like.device())?;
        Ok((bins, signs.to_dtype(like.dtype())?))
    }

    /// The signed sums (count, m) of the rows (tokens, m) in the bins, brought to the norm of the rows.
    fn sketch(&self, rows: &Tensor) -> Result<Tensor> {
        let (bins, signs) = self.draw(rows)?;
        let sums = nearest_line::gather(rows, &bins, &signs, self.count)?;
        let norms = (square::sum(rows)?.sqrt(), square::sum(&sums)?.sqrt());
        // Tokens that cancel out leave nothing to bring to their norm.
        let scale = if norms.1 == 0.0 { 1.0 } else { norms.0 / norms.1 };
        Ok((sums * scale)?)
    }
}

struct Sketched {
    /// (bins, features)
    sketch: Tensor,
    bins: Bins,
    shape: Vec<usize>,
}

impl Packed for Sketched {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.sketch], [])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        let (bins, signs) = self.bins.draw(&self.sketch)?;
        Ok(nearest_line::restore(&self.sketch, &bins, &signs)?.reshape(&self.shape[..])?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let Op::Linear { .. } = op else { return Ok(None) };
        let grads = self.bins.sketch(&tokens::as_matrix(output_grad)?)?;
        Ok(Some(linear::weight_grad(&self.sketch, &grads)?))
    }
}
