//! `velora:<M>`: one number for each of M parts of a token.
//!
//! Miles et al., "VeLoRA: memory efficient training using rank-1 sub-token projections", NeurIPS
//! 2024. A token of D features is cut into M parts of D/M, and of each part z only its product <z,v>
//! with one direction v is saved: M numbers instead of D. The direction is the normalised mean part
//! of the layer's first batch, and stays fixed. The weight's gradient is G^T P, spread along v, and
//! needs nothing restored. The authors can scale the restored parts; here they are not scaled.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::linear;
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter};
use crate::projection::tokens;
use crate::{AxisLayout, Bytes, Codec, Error, Op, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "velora",
    parameters: &[Parameter::new("M", Kind::Whole(1, u64::MAX), "number of parts of a token")],
    summary: "one number for each of M parts of a token, along the first batch's mean part",
    examples: &["velora:4"],
    build: |values| Ok(Arc::new(Velora { parts: values.get("M")? })),
};

/// The name under which the direction v is stored.
const DIRECTION: &str = "direction";

/// Projection of each of this many parts of a token onto one direction.
#[derive(Debug)]
pub struct Velora {
    parts: usize,
}

impl Velora {
    /// Tokens, and the length of their parts.
    fn lengths(&self, shape: &[usize], axes: AxisLayout) -> Result<(usize, usize)> {
        let (tokens, features) = tokens::lengths(self, shape, axes)?;
        if features % self.parts != 0 {
            let reason = format!("{features} features do not divide into {} parts", self.parts);
            return Err(Error::Shape { codec: self.spec(), shape: shape.into(), reason });
        }
        Ok((tokens, features / self.parts))
    }
}

impl Codec for Velora {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.parts])
    }

    /// All linear layers; the paper takes those of the values and the second of each feed-forward
    /// pair, which a plan can name.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let (tokens, _) = self.lengths(shape, site.axes)?;
        Ok(Some(Bytes { payload: tokens * self.parts * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let (tokens, length) = self.lengths(input.dims(), site.axes)?;
        let parts = input.reshape((tokens * self.parts, length))?;
        let remembered = site.state.get(DIRECTION).filter(|v| v.dims() == [1, length]);
        let direction = match remembered {
            Some(direction) => direction.clone(),
            None => match mean_direction(&parts)? {
                Some(direction) => {
                    site.state.set(DIRECTION, &direction);
                    direction
                }
                None => parts.narrow(0, 0, 1)?.zeros_like()?,
            },
        };
        let products = linear::forward(&parts, &direction, None)?.reshape((tokens, self.parts))?;
        Ok(Box::new(Products { products, direction, shape: input.dims().to_vec() }))
    }
}

/// The normalised mean (1, length) of `parts` (n, length); `None` where it has no direction.
fn mean_direction(parts: &Tensor) -> Result<Option<Tensor>> {
    let sum = linear::bias_grad(parts)?.to_dtype(DType::F64)?; // sums over the parts
    let norm = sum.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
    if norm == 0.0 || !norm.is_finite() {
        return Ok(None);
    }
    Ok(Some((sum / norm)?.to_dtype(parts.dtype())?.unsqueeze(0)?))
}

struct Products {
    /// (tokens, parts)
    products: Tensor,
    /// (1, length); belongs to the codec's state.
    direction: Tensor,
    shape: Vec<usize>,
}

impl Products {
    /// Each element of a tensor times the direction, next to one another.
    fn along_direction(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(linear::forward(&tensor.reshape(((), 1))?, &self.direction.t()?, None)?)
    }
}

impl Packed for Products {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.products], [])
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(self.along_direction(&self.products)?.reshape(&self.shape[..])?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let Op::Linear { .. } = op else { return Ok(None) };
        let by_part = linear::weight_grad(&self.products, output_grad)?;
        Ok(Some(self.along_direction(&by_part)?.reshape((by_part.dim(0)?, ()))?))
    }
}
