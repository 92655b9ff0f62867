//! [`attention`](crate::attention) on a CUDA device: candle's matrix products, which are cuBLAS's, of as many
//! heads at a time as few enough scores belong to, or of some of a head's queries.

use candle_core::Tensor;

use super::product::product;
use super::softmax::{self, Rows};
use super::{Gpu, dropout};
use crate::Result;
use crate::attention::Sizes;
use crate::dropout::Mask;
use crate::softmax::Visible;

/// The most scores at a time, unless one query has more.
const SCORES: usize = 16 << 20;

/// `attention::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(
    gpu: &dyn Gpu,
    [query, key, value]: [&Tensor; 3],
    visible: &Visible,
    mask: Option<Mask>,
) -> Result<Tensor> {
    let heads = Heads::new(gpu, [query, key, value], visible, mask)?;
    let [samples, of_each, queries, _] = heads.sizes.scores;
    let shape = (samples, of_each, queries, heads.sizes.features);
    let parts = heads.parts().map(|part| {
        let shares = heads.drop_out(&heads.probabilities(part)?, part)?;
        let sums = product(gpu, "attention", &shares, &part.heads(&heads.value)?)?;
        Ok(sums.reshape(((), heads.sizes.features))?)
    });
    join(parts.collect::<Result<Vec<_>>>()?, shape, query)
}

/// `attention::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(
    gpu: &dyn Gpu,
    [query, key, value]: [&Tensor; 3],
    grad: &Tensor,
    visible: &Visible,
    mask: Option<Mask>,
) -> Result<[Tensor; 3]> {
    let heads = Heads::new(gpu, [query, key, value], visible, mask)?;
    let grad = matrices(grad)?;
    let (mut of_query, mut of_key, mut of_value) = (Vec::new(), Vec::new(), Vec::new());
    for part in heads.parts() {
        let shares = heads.probabilities(part)?;
        let grad = part.queries(&grad)?;
        let dropped = heads.drop_out(&shares, part)?;
        add_to(&mut of_value, product(gpu, "attention", &dropped.t()?, &grad)?, part)?;
        // The gradient of the probabilities, then that of the scores.
        let left = product(gpu, "attention", &grad, &part.heads(&heads.value)?.t()?)?;
        let left = heads.drop_out(&left, part)?;
        let of_scores = softmax::backward(gpu, &shares, &left)?;
        let of_rows = product(gpu, "attention", &of_scores, &part.heads(&heads.key)?)?;
        of_query.push(of_rows.reshape(((), heads.sizes.width))?);
        let of_keys = product(gpu, "attention", &of_scores.t()?, &part.queries(&heads.query)?)?;
        add_to(&mut of_key, of_keys, part)?;
    }
    Ok([
        join(of_query, query.shape(), query)?,
        join(of_key, key.shape(), key)?,
        join(of_value, value.shape(), value)?,
    ])
}

/// The heads of all samples, which are independent of each other.
struct Heads<'a> {
    gpu: &'a dyn Gpu,
    /// (heads, queries, width), (heads, keys, width) and (heads, keys, features).
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sizes: Sizes,
    visible: &'a Visible,
    mask: Option<Mask>,
}

/// Some heads, and some of their queries: all, unless it is one head.
#[derive(Clone, Copy)]
struct Part {
    head: usize,
    heads: usize,
    first: usize,
    queries: usize,
}

impl Part {
    fn heads(self, of: &Tensor) -> candle_core::Result<Tensor> {
        of.narrow(0, self.head, self.heads)
    }

    fn queries(self, of: &Tensor) -> candle_core::Result<Tensor> {
        self.heads(of)?.narrow(1, self.first, self.queries)
    }
}

impl<'a> Heads<'a> {
    fn new(
        gpu: &'a dyn Gpu,
        [query, key, value]: [&Tensor; 3],
        visible: &'a Visible,
        mask: Option<Mask>,
    ) -> Result<Self> {
        let sizes = Sizes::of(query, key, value, visible)?;
        let (query, key, value) = (matrices(query)?, matrices(key)?, matrices(value)?);
        Ok(Self { gpu, query, key, value, sizes, visible, mask })
    }

    fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let [samples, heads, queries, keys] = self.sizes.scores;
        let (together, rows) = at_a_time(queries, keys);
        // Without keys there is nothing to weigh, and everything is 0.
        let all = if keys * self.sizes.features == 0 { 0 } else { samples * heads };
        (0..all).step_by(together).flat_map(move |head| {
            let heads = together.min(all - head);
            (0..queries).step_by(rows).map(move |first| Part {
                head,
                heads,
                first,
                queries: rows.min(queries - first),
            })
        })
    }

    /// The part's probabilities (heads, queries, keys).
    fn probabilities(&self, part: Part) -> Result<Tensor> {
        let scores = product(
            self.gpu,
            "attention",
            &part.queries(&self.query)?,
            &part.heads(&self.key)?.t()?,
        )?;
        let [samples, heads, queries, _] = self.sizes.scores;
        let place = Rows { first: self.row(part), all: samples * heads * queries, queries };
        softmax::forward_rows(self.gpu, &scores, self.visible, place)
    }

    /// Applies the mask, which is that of the whole scores, to the part's.
    fn drop_out(&self, scores: &Tensor, part: Part) -> Result<Tensor> {
        match &self.mask {
            Some(mask) => {
                dropout::apply(self.gpu, scores, mask, self.row(part) * self.sizes.scores[3])
            }
            None => Ok(scores.clone()),
        }
    }

    /// The number of the part's first row among those of all heads.
    fn row(&self, part: Part) -> usize {
        part.head * self.sizes.scores[2] + part.first
    }
}

/// How many heads at a time, and how many of their queries.
fn at_a_time(queries: usize, keys: usize) -> (usize, usize) {
    let of_head = (queries * keys).max(1);
    match SCORES / of_head {
        0 => (1, (SCORES / keys.max(1)).max(1)),
        heads => (heads, queries.max(1)),
    }
}

/// All heads of all samples one after the other.
fn matrices(tensor: &Tensor) -> candle_core::Result<Tensor> {
    let (samples, heads, rows, columns) = tensor.dims4()?;
    tensor.contiguous()?.reshape((samples * heads, rows, columns))
}

/// Adds a gradient to what earlier queries of the same head gave.
fn add_to(sums: &mut Vec<Tensor>, own: Tensor, part: Part) -> candle_core::Result<()> {
    match sums.last_mut() {
        Some(sum) if part.first > 0 => *sum = (&*sum + own)?,
        _ => sums.push(own),
    }
    Ok(())
}

/// The parts one after the other, in this shape; zeros where there are none.
fn join(parts: Vec<Tensor>, shape: impl Into<candle_core::Shape>, like: &Tensor) -> Result<Tensor> {
    let shape = shape.into();
    match parts.is_empty() {
        true => Ok(Tensor::zeros(shape, like.dtype(), like.device())?),
        false => Ok(Tensor::cat(&parts, 0)?.reshape(shape)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_scores_exist_at_a_time() {
        for (queries, keys) in [(1, 1), (197, 197), (4096, 4096), (70_000, 70_000), (3, 1 << 40)] {
            let (heads, rows) = at_a_time(queries, keys);
            assert!(heads * rows * keys <= SCORES || (heads, rows) == (1, 1), "{queries} {keys}");
            assert!(rows == queries || heads == 1);
        }
    }
}
