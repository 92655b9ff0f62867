//! `pool<k>`: means over blocks of k x k pixels, or of k features.
//!
//! Barley and Fröning, "Less memory means smaller GPUs: backpropagation with compressed
//! activations", arXiv 2409.11902. An image keeps ceil(H/k) ceil(W/k) of its H W pixels per
//! channel; blocks at the edge average only what they hold. Unpacking repeats each mean over its
//! block, so that the restored tensor is the orthogonal projection of the saved one, and the
//! learning indicator equals the share of energy that is kept.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::{block_pool, linear};
use packlight_record::LayerKind;

use crate::registry::Entry;
use crate::spec::number;
use crate::{Bytes, Codec, Context, Error, InputForm, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "pool<k>",
    summary: "means over k x k pixels (conv inputs) or k features (linear inputs)",
    examples: &["pool2", "pool3", "pool4"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let block = spec.strip_prefix("pool")?;
    let expected =
        "a block size of at least 2 after `pool`, as in `pool2` (`none` keeps everything),";
    Some(number(spec, block, 2.., expected).map(|block| Arc::new(Pool { block }) as _))
}

/// Average pooling over blocks of this many pixels each way, or features.
#[derive(Debug)]
pub struct Pool {
    block: usize,
}

impl Pool {
    fn misfit(&self, shape: &[usize], reason: &str) -> Error {
        Error::Shape { codec: self.name(), shape: shape.to_vec(), reason: reason.into() }
    }
}

impl Codec for Pool {
    fn name(&self) -> String {
        format!("pool{}", self.block)
    }

    /// Convolutions: the scope that explains the paper's figures.
    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, form: InputForm) -> Result<Option<Bytes>> {
        let elements = match (form, shape) {
            (InputForm::Images, &[n, c, h, w]) => {
                n * c * h.div_ceil(self.block) * w.div_ceil(self.block)
            }
            (InputForm::Images, _) => return Err(self.misfit(shape, "images (N,C,H,W) expected")),
            (InputForm::Tokens, &[ref tokens @ .., features]) => {
                tokens.iter().product::<usize>() * features.div_ceil(self.block)
            }
            (InputForm::Tokens, []) => return Err(self.misfit(shape, "a scalar has no features")),
        };
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let form = context.form;
        let means = match form {
            InputForm::Images => block_pool::pool(input, self.block)?,
            InputForm::Tokens => block_pool::pool_features(input, self.block)?,
        };
        Ok(Box::new(Means { means, block: self.block, shape: input.dims().to_vec(), form }))
    }
}

struct Means {
    means: Tensor,
    block: usize,
    shape: Vec<usize>,
    form: InputForm,
}

impl Packed for Means {
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.means.elem_count() * self.means.dtype().size_in_bytes(), metadata: 0 }
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(match (self.form, &self.shape[..]) {
            (InputForm::Images, &[_, _, h, w]) => {
                block_pool::unpool(&self.means, self.block, (h, w))?
            }
            (_, &[.., features]) => block_pool::unpool_features(&self.means, self.block, features)?,
            (_, []) => self.means.clone(),
        })
    }

    fn conv2d_weight_grad(
        &self,
        grad: &Tensor,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        Ok(conv2d::weight_grad_from_pooled(
            &self.means,
            self.block,
            &self.shape,
            grad,
            weight_shape,
            geometry,
        )?)
    }

    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        match self.shape.last() {
            Some(&width) => {
                Ok(linear::weight_grad_from_pooled(&self.means, self.block, width, grad)?)
            }
            None => Ok(linear::weight_grad(&self.means, grad)?),
        }
    }
}
