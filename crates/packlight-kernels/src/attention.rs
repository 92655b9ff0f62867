//! Attention that computes its scores a few rows at a time, in the forward pass and again in the
//! backward pass, so that they never exist as a whole (Rabe and Staats, "Self-attention does not
//! need O(n²) memory", 2021; Dao et al., "FlashAttention", NeurIPS 2022).

use std::ops::Range;

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dropout::Mask;
use crate::dtype::Element;
use crate::matmul::{Matrix, multiply};
use crate::par_vec::build;
use crate::softmax::{self, Visible};
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "attention";

/// Queries whose scores exist at a time, in each thread.
const ROWS: usize = 256;

/// `softmax(q kᵀ) v` for queries (N, heads, queries, d), keys (N, heads, keys, d) and values
/// (N, heads, keys, e), of which each query counts what is `visible`. The `mask`, if there is one,
/// drops probabilities as [`crate::dropout::apply`] would drop those of the whole.
///
/// # Errors
/// Returns an error if the shapes or lengths do not fit, or the type or device is not supported.
pub fn forward(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    visible: &Visible,
    mask: Option<Mask>,
) -> Result<Tensor> {
    let sizes = Sizes::of(query, key, value, visible)?;
    let shape = [sizes.scores[0], sizes.scores[1], sizes.scores[2], sizes.features];
    if is_blank(query) {
        return blank(&shape[..], query.dtype());
    }
    on_cuda!(query => attention::forward([query, key, value], visible, mask));
    let device = query.device();
    by_dtype!(KERNEL, query, T => {
        read!(KERNEL; query: T, key: T, value: T);
        let heads = Heads { query, key, value, sizes, visible, mask };
        let piece = sizes.queries() * sizes.features;
        let result = build(shape.iter().product(), piece, |head, result| {
            heads.forward(head, result);
        });
        Ok(Tensor::from_vec(result, &shape[..], device)?)
    })
}

/// The gradients of queries, keys and values of [`forward`], with the same `visible` and `mask`.
///
/// # Errors
/// Returns an error if the shapes or lengths do not fit, or the type or device is not supported.
pub fn backward(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    grad: &Tensor,
    visible: &Visible,
    mask: Option<Mask>,
) -> Result<[Tensor; 3]> {
    let sizes = Sizes::of(query, key, value, visible)?;
    let [samples, heads, queries, _] = sizes.scores;
    if grad.dims() != [samples, heads, queries, sizes.features] {
        return Err(Error::shape(
            KERNEL,
            format!("gradient {:?} for values {:?}", grad.dims(), value.dims()),
        ));
    }
    on_cuda!(query => attention::backward([query, key, value], grad, visible, mask));
    let device = query.device();
    let shapes = [query.shape(), key.shape(), value.shape()];
    by_dtype!(KERNEL, query, T => {
        read!(KERNEL; query: T, key: T, value: T, grad: T);
        let mut grads = [query, key, value].map(|of| vec![T::zero(); of.len()]);
        let [of_query, of_key, of_value] = &mut grads;
        let heads = Heads { query, key, value, sizes, visible, mask };
        let piece = |of: &[T]| (of.len() / sizes.heads().max(1)).max(1);
        let own = of_query.par_chunks_mut(piece(query)).zip(of_key.par_chunks_mut(piece(key)));
        own.zip(of_value.par_chunks_mut(piece(value))).enumerate().for_each(
            |(head, ((of_query, of_key), of_value))| {
                heads.backward(head, grad, [of_query, of_key, of_value]);
            },
        );
        let [q, k, v] = grads;
        let [of_q, of_k, of_v] = shapes;
        Ok([
            Tensor::from_vec(q, of_q, device)?,
            Tensor::from_vec(k, of_k, device)?,
            Tensor::from_vec(v, of_v, device)?,
        ])
    })
}

#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// (N, heads, queries, keys).
    pub(crate) scores: [usize; 4],
    /// Features of a query and of a key.
    pub(crate) width: usize,
    /// Features of a value.
    pub(crate) features: usize,
}

impl Sizes {
    pub(crate) fn of(
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        visible: &Visible,
    ) -> Result<Self> {
        let misfit = || {
            let dims = [query, key, value].map(Tensor::dims);
            let [query, key, value] = dims;
            Error::shape(
                KERNEL,
                format!("queries {query:?}, keys {key:?} and values {value:?} do not fit"),
            )
        };
        let (&[samples, heads, queries, width], &[n, h, keys, d], &[of, by, length, features]) =
            (query.dims(), key.dims(), value.dims())
        else {
            return Err(misfit());
        };
        if [n, h, d] != [samples, heads, width] || [of, by, length] != [samples, heads, keys] {
            return Err(misfit());
        }
        let scores = [samples, heads, queries, keys];
        visible.check(&scores)?;
        Ok(Self { scores, width, features })
    }

    /// Heads of all samples.
    fn heads(&self) -> usize {
        self.scores[0] * self.scores[1]
    }

    fn queries(&self) -> usize {
        self.scores[2]
    }

    fn keys(&self) -> usize {
        self.scores[3]
    }
}

/// The heads of all samples, which are independent of each other.
struct Heads<'a, T> {
    query: &'a [T],
    key: &'a [T],
    value: &'a [T],
    sizes: Sizes,
    visible: &'a Visible,
    mask: Option<Mask>,
}

impl<T: Element> Heads<'_, T> {
    /// The output of one head.
    fn forward(&self, head: usize, result: &mut [T]) {
        let mut shares = self.tile();
        let features = self.sizes.features;
        for rows in self.blocks() {
            let seen = self.probabilities(head, &rows, &mut shares);
            self.drop_out(head, &rows, seen, &mut shares);
            multiply(
                &mut result[rows.start * features..rows.end * features],
                features,
                false,
                Matrix::row_major(&shares, rows.len(), seen),
                self.values(head, seen),
            );
        }
    }

    /// The gradients of one head's queries, keys and values.
    fn backward(&self, head: usize, grad: &[T], [of_query, of_key, of_value]: [&mut [T]; 3]) {
        let (width, features) = (self.sizes.width, self.sizes.features);
        let [mut shares, mut left] = [self.tile(), self.tile()];
        for rows in self.blocks() {
            let seen = self.probabilities(head, &rows, &mut shares);
            let first = (head * self.sizes.queries() + rows.start) * features;
            let grad = Matrix::row_major(&grad[first..], rows.len(), features);
            left.clone_from(&shares);
            self.drop_out(head, &rows, seen, &mut left);
            let dropped = Matrix::row_major(&left, rows.len(), seen);
            multiply(of_value, features, rows.start > 0, dropped.transposed(), grad);
            // The gradient of the probabilities, then that of the scores.
            multiply(&mut left, seen, false, grad, self.values(head, seen).transposed());
            self.drop_out(head, &rows, seen, &mut left);
            let lines = shares.chunks_exact(seen.max(1)).zip(left.chunks_exact_mut(seen.max(1)));
            lines.take(rows.len()).for_each(|(shares, left)| softmax::differentiate(shares, left));
            let of_scores = Matrix::row_major(&left, rows.len(), seen);
            let of_rows = &mut of_query[rows.start * width..rows.end * width];
            multiply(of_rows, width, false, of_scores, self.keys(head, seen));
            let queries = self.queries(head, &rows);
            multiply(of_key, width, rows.start > 0, of_scores.transposed(), queries);
        }
    }

    /// The probabilities of a block's queries, row after row, each of as many keys as causality lets the last of
    /// them see; returns that number.
    fn probabilities(&self, head: usize, rows: &Range<usize>, result: &mut [T]) -> usize {
        let all = self.sizes.keys();
        let seen = if self.visible.causal { all.min(rows.end) } else { all };
        let first = head * self.sizes.queries();
        let visible = |row: usize| self.visible.of_row(first + row, &self.sizes.scores);
        let keys = self.keys(head, seen);
        multiply(result, seen, false, self.queries(head, rows), keys.transposed());
        for (row, result) in rows.clone().zip(result.chunks_exact_mut(seen.max(1))) {
            let (shares, rest) = result.split_at_mut(visible(row));
            softmax::probabilities(shares);
            rest.fill(T::zero());
        }
        seen
    }

    /// Applies the mask, which is that of the whole scores, to a block of them.
    fn drop_out(&self, head: usize, rows: &Range<usize>, seen: usize, block: &mut [T]) {
        let Some(mask) = &self.mask else { return };
        for (row, line) in rows.clone().zip(block.chunks_exact_mut(seen.max(1))) {
            mask.apply_to((head * self.sizes.queries() + row) * self.sizes.keys(), line);
        }
    }

    /// The rows of each block.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<T> {
        let queries = self.sizes.queries();
        (0..queries).step_by(ROWS).map(move |start| start..queries.min(start + ROWS))
    }

    /// Room for the scores of a block.
    fn tile(&self) -> Vec<T> {
        vec![T::zero(); self.sizes.queries().min(ROWS) * self.sizes.keys()]
    }

    fn queries(&self, head: usize, rows: &Range<usize>) -> Matrix<'_, T> {
        let first = (head * self.sizes.queries() + rows.start) * self.sizes.width;
        Matrix::row_major(&self.query[first..], rows.len(), self.sizes.width)
    }

    /// The first `seen` keys.
    fn keys(&self, head: usize, seen: usize) -> Matrix<'_, T> {
        let first = head * self.sizes.keys() * self.sizes.width;
        Matrix::row_major(&self.key[first..], seen, self.sizes.width)
    }

    /// The first `seen` values.
    fn values(&self, head: usize, seen: usize) -> Matrix<'_, T> {
        let first = head * self.sizes.keys() * self.sizes.features;
        Matrix::row_major(&self.value[first..], seen, self.sizes.features)
    }
}
