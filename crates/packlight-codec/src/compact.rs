//! `compact:<r>`: a random projection of each token to r numbers.
//!
//! "CompAct: compressed activations for memory-efficient LLM training", NAACL 2025. Of the input X
//! (T,n), z = X P (T,r) is kept, where P (n,r) is Gaussian of variance 1/r: E[P P^T] = 1, so z P^T
//! is an unbiased estimate of X. P is drawn again in the backward pass from the layer's key of that
//! step and never kept. The paper's optimizer works on the compressed gradient z^T G and projects
//! its update; here the gradient itself is projected back, (G^T z) P^T, and any optimizer fits.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::gaussian::gaussian;
use packlight_kernels::linear;
use packlight_kernels::rng::Key;
use packlight_record::LayerKind;

use crate::registry::Entry;
use crate::spec::{number, only};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope, tokens};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "compact:<r>",
    summary: "a random projection of each token to r numbers, unbiased (linear inputs)",
    examples: &["compact:4"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let expected = "the numbers that a token becomes, as in `compact:64`,";
    let rank =
        only(spec, "compact", "compact:64")?.and_then(|rank| number(spec, rank, 1.., expected));
    Some(rank.map(|rank| Arc::new(Compact { rank }) as _))
}

/// Random projection to this many numbers.
#[derive(Debug)]
pub struct Compact {
    rank: usize,
}

impl Codec for Compact {
    fn name(&self) -> String {
        format!("compact:{}", self.rank)
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, axes: AxisLayout) -> Result<Option<Bytes>> {
        let (tokens, _) = tokens::lengths(self, shape, axes)?;
        Ok(Some(Bytes { payload: tokens * self.rank * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let (_, features) = tokens::lengths(self, input.dims(), context.axes)?;
        let (key, shape) = (context.key, input.dims().to_vec());
        let projection = projection(key, self.rank, features, input.dtype())?;
        let projected = linear::forward(&tokens::as_matrix(input)?, &projection, None)?;
        Ok(Box::new(Projected { projected, key, features, shape }))
    }
}

/// P^T (rank, features).
fn projection(key: Key, rank: usize, features: usize, dtype: DType) -> Result<Tensor> {
    Ok(gaussian(key, &[rank, features], dtype, (rank as f64).sqrt().recip())?)
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
        let projection = projection(self.key, rank, self.features, self.projected.dtype())?;
        Ok(linear::input_grad(compressed, &projection)?)
    }
}

impl Packed for Projected {
    fn bytes(&self) -> Bytes {
        let size = self.projected.dtype().size_in_bytes();
        Bytes { payload: self.projected.elem_count() * size, metadata: 0 }
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(self.back(&self.projected)?.reshape(&self.shape[..])?)
    }

    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        self.back(&linear::weight_grad(&self.projected, grad)?)
    }
}
