//! `compact:<r>`: a random projection of each token to r numbers.
//!
//! "CompAct: compressed activations for memory-efficient LLM training", NAACL 2025. Of the input X
//! (T,n), z = X P (T,r) is saved, where P (n,r) is Gaussian of variance 1/r: E[P P^T] = 1, so z P^T
//! is an unbiased estimate of X. P is not saved; the backward pass draws it again from the layer's
//! key of that step. The paper's optimizer works on the compressed gradient z^T G and projects its
//! update; here the gradient itself is projected back, (G^T z) P^T, so that any optimizer works.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::gaussian::gaussian;
use packlight_kernels::linear;
use packlight_kernels::rng::Key;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::projection::tokens;
use crate::{AxisLayout, Bytes, Codec, Error, Op, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "compact",
    parameters: &[Parameter::new("r", Kind::Whole(1, u64::MAX), "numbers per token")],
    summary: "a random projection of each token to r numbers, unbiased (linear inputs)",
    examples: &["compact:4"],
    build: |values| Ok(Arc::new(Compact { rank: values.get("r")? })),
};

/// Random projection to this many numbers.
#[derive(Debug)]
pub struct Compact {
    rank: usize,
}

impl Compact {
    /// Tokens and features, of which there must be at least as many as numbers per token.
    fn lengths(&self, shape: &[usize], axes: AxisLayout) -> Result<(usize, usize)> {
        let (tokens, features) = tokens::lengths(self, shape, axes)?;
        if self.rank > features {
            let reason = format!("at most {features} numbers per token expected");
            return Err(Error::Shape { codec: self.spec(), shape: shape.into(), reason });
        }
        Ok((tokens, features))
    }
}

impl Codec for Compact {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.rank])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let (tokens, _) = self.lengths(shape, site.axes)?;
        Ok(Some(Bytes { payload: tokens * self.rank * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (_, features) = self.lengths(input.dims(), site.axes)?;
        let (key, shape) = (site.key, input.dims().to_vec());
        let projection = projection(key, self.rank, features, input)?;
        let projected = linear::forward(&tokens::as_matrix(input)?, &projection, None)?;
        Ok(Box::new(Projected { projected, key, features, shape }))
    }
}

/// P^T (rank, features), of this tensor's type and on its device.
fn projection(key: Key, rank: usize, features: usize, like: &Tensor) -> Result<Tensor> {
    let drawn = gaussian(key, &[rank, features], like.dtype(), (rank as f64).sqrt().recip())?;
    Ok(drawn.to_device(like.device())?)
}

struct Projected {
    /// z (tokens, rank)
    projected: Tensor,
    /// What P is drawn from.
    key: Key,
    features: usize,
    shape: Vec<usize>,
}

impl Projected {
    /// A matrix (..., rank) times P^T.
    fn back(&self, compressed: &Tensor) -> Result<Tensor> {
        let rank = self.projected.dim(1)?;
        let projection = projection(self.key, rank, self.features, &self.projected)?;
        Ok(linear::input_grad(compressed, &projection)?)
    }
}

impl Packed for Projected {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.projected], [])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(self.back(&self.projected)?.reshape(&self.shape[..])?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let Op::Linear { .. } = op else { return Ok(None) };
        self.back(&linear::weight_grad(&self.projected, output_grad)?).map(Some)
    }
}
