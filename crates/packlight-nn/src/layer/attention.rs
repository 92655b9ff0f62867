//! Multi-head scaled dot-product attention.

use std::sync::Arc;

use packlight_autograd::{Activation, AxisLayout, SavePoint, op};
use packlight_record::LayerKind;

use super::require_probability;
use crate::{Builder, Error, Result};

/// `softmax(q kᵀ / sqrt(d)) v` for each of several heads of `d` features (Vaswani et al., NeurIPS
/// 2017, equation 1), without the projections around it.
/// It has four save points: `query` (scaled), `key`, `softmax` (the probabilities, saved once for
/// the two operations that need them) and `value`. Where the plan says `scores=recompute`, there is no
/// `softmax`.
pub struct Attention {
    name: String,
    heads: usize,
    query: Arc<SavePoint>,
    key: Arc<SavePoint>,
    /// `None` where the scores are recomputed.
    softmax: Option<Arc<SavePoint>>,
    value: Arc<SavePoint>,
    dropout: Option<(f64, Arc<SavePoint>)>,
}

impl Attention {
    /// Makes an attention layer with `heads` heads, without dropout.
    ///
    /// # Errors
    /// Returns an error if the heads do not divide `features`, or the name is taken.
    pub fn new(builder: &Builder, features: usize, heads: usize) -> Result<Self> {
        Self::with(builder, features, heads, 0.0)
    }

    /// Makes an attention layer that drops each probability with probability `dropout` in training.
    ///
    /// # Errors
    /// Returns an error if the heads do not divide `features`, `dropout` is not in [0, 1), or the
    /// name is taken.
    pub fn with(builder: &Builder, features: usize, heads: usize, dropout: f64) -> Result<Self> {
        let point = |name: &str| builder.pp(name).save_point(LayerKind::Attention);
        let name = builder.name().to_owned();
        if heads == 0 || !features.is_multiple_of(heads) {
            return Err(Error::Layer {
                layer: name,
                reason: format!("{heads} heads do not divide {features} features"),
            });
        }
        require_probability(&name, dropout)?;
        let (query, key) = (point("query")?, point("key")?);
        let softmax = (!builder.recomputes_scores()).then(|| point("softmax")).transpose()?;
        let dropout = match dropout == 0.0 {
            true => None,
            false => Some((dropout, builder.pp("dropout").save_point(LayerKind::Dropout)?)),
        };
        Ok(Self { name, heads, query, key, softmax, value: point("value")?, dropout })
    }

    /// For each of `queries` (N, queries, features), the mean of `values` (N, keys, features),
    /// weighted by how well their visible `keys` (N, keys, features) fit the query. Those that are given by value are
    /// freed as soon as they are of no more use.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit.
    pub fn forward(
        &self,
        queries: impl Into<Activation>,
        keys: impl Into<Activation>,
        values: impl Into<Activation>,
        visible: &op::Visible,
    ) -> Result<Activation> {
        let [queries, keys, values] = [queries.into(), keys.into(), values.into()];
        let Some(softmax) = &self.softmax else {
            let (queries, keys) = (self.scaled(queries)?, self.split_heads(keys)?);
            let inputs = [&queries, &keys, &self.split_heads(values)?];
            let points = [&self.query, &self.key, &self.value];
            let dropout = self.dropout.as_ref().map(|(share, point)| (*share, point));
            return self.join_heads(op::attention(inputs, points, visible, dropout)?);
        };
        self.attend([queries, keys, values], visible, softmax, Ok)
    }

    /// The same of `[queries, keys, values]`, with the scores (N, heads, queries, keys) as `scored` changes
    /// them.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit, or the scores are recomputed, for which they cannot change.
    pub(crate) fn forward_with(
        &self,
        inputs: [Activation; 3],
        visible: &op::Visible,
        scored: impl FnOnce(Activation) -> Result<Activation>,
    ) -> Result<Activation> {
        let softmax = self.softmax.as_ref().ok_or_else(|| Error::MemoryStrategy {
            reason: format!(
                "`scores=recompute`: the scores of `{}` have a bias that learns",
                self.name
            ),
        })?;
        self.attend(inputs, visible, softmax, scored)
    }

    fn attend(
        &self,
        [queries, keys, values]: [Activation; 3],
        visible: &op::Visible,
        softmax: &Arc<SavePoint>,
        scored: impl FnOnce(Activation) -> Result<Activation>,
    ) -> Result<Activation> {
        let (queries, keys) = (self.scaled(queries)?, self.split_heads(keys)?);
        let scores = op::matmul_transposed(&queries, &keys, &self.query, &self.key)?;
        drop((queries, keys));
        let scores = scored(scores)?;
        let mut probabilities = op::softmax(scores, visible, softmax)?;
        if let Some((share, point)) = &self.dropout {
            probabilities = op::dropout_of_saved(&probabilities, *share, point, softmax)?;
        }
        let values = self.split_heads(values)?;
        self.join_heads(op::matmul(&probabilities, &values, softmax, &self.value)?)
    }

    /// The heads of `queries`, over the square root of their features.
    fn scaled(&self, queries: Activation) -> Result<Activation> {
        let features = queries.dims().last().copied().unwrap_or(1);
        let scale = 1.0 / (features as f64 / self.heads as f64).sqrt();
        Ok(op::scale(&self.split_heads(queries)?, scale)?)
    }

    /// `x` (N, heads, tokens, features / heads) as (N, tokens, features).
    fn join_heads(&self, x: Activation) -> Result<Activation> {
        let &[samples, heads, length, width] = x.dims() else {
            return Err(self.misfit(&x));
        };
        let together = op::permute(&x, &[0, 2, 1, 3])?;
        Ok(op::reshape(&together, &[samples, length, heads * width])?)
    }

    /// `x` (N, tokens, features) as (N, heads, tokens, features / heads).
    fn split_heads(&self, x: Activation) -> Result<Activation> {
        match *x.dims() {
            [samples, tokens, features] if features.is_multiple_of(self.heads) => {
                let split = [samples, tokens, self.heads, features / self.heads];
                let heads = op::permute(&op::reshape(&x, &split)?, &[0, 2, 1, 3])?;
                Ok(heads.with_axes(AxisLayout::Heads))
            }
            _ => Err(self.misfit(&x)),
        }
    }

    fn misfit(&self, x: &Activation) -> Error {
        Error::Layer {
            layer: self.name.clone(),
            reason: format!(
                "{:?} given, expected (samples, tokens, features) with features for {} heads",
                x.dims(),
                self.heads
            ),
        }
    }
}

/// Queries, keys and values (N, tokens, features), which one linear layer has computed side by side.
///
/// # Errors
/// Returns an error if `joint` is not (N, tokens, 3 x features).
pub(crate) fn queries_keys_values(joint: Activation) -> Result<[Activation; 3]> {
    let width = joint.dims().last().copied().unwrap_or_default() / 3;
    let part = |number: usize| op::slice(&joint, 2, number * width..(number + 1) * width);
    Ok([part(0)?, part(1)?, part(2)?])
}
