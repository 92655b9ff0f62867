//! Attention that computes its scores again in the backward pass. Saves queries, keys and values.

use std::sync::Arc;

use packlight_codec::Op;
use packlight_kernels::attention::{backward, forward};
use packlight_kernels::blank::is_blank;
use packlight_kernels::dropout::Mask;
use packlight_kernels::rng::Purpose;
use packlight_kernels::softmax::Visible;

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Product, Result, SavePoint};

/// `softmax(q kᵀ) v` for `[q, k, v]` (N, heads, tokens, features), each saved at its own save point; each
/// query counts what is `visible`. `dropout` drops probabilities in training: with which probability, and
/// the save point whose mask it is.
///
/// Output and gradients are those of [`matmul_transposed`](super::matmul_transposed()),
/// [`softmax`](super::softmax()), [`dropout`](super::dropout()) and [`matmul`](super::matmul()) one after
/// the other, but scores and probabilities, of which there are as many as pairs of tokens, exist only a
/// few rows at a time. With codecs, the scores are those of the restored queries and keys.
///
/// # Errors
/// Returns an error if the shapes or lengths do not fit, a codec cannot pack its input, or a kernel is
/// missing.
pub fn attention(
    inputs: [&Activation; 3],
    save_points: [&Arc<SavePoint>; 3],
    visible: &Visible,
    dropout: Option<(f64, &Arc<SavePoint>)>,
) -> Result<Activation> {
    let [query, key, value] = inputs;
    let by = save_points[0];
    let dropout = dropout.filter(|_| query.pass().is_training());
    let mask = dropout.map(|(probability, point)| {
        let key = query.pass().key(Purpose::Dropout, point.name());
        Mask::new(probability, key).map_err(|e| point.failed(e))
    });
    let mask = mask.transpose()?;
    let data = forward(query.data(), key.data(), value.data(), visible, mask);
    let data = data.map_err(|e| by.failed(e))?;
    let needs = Needs::of(&inputs, &[]);
    if is_blank(&data) {
        note_products(inputs, save_points, data.elem_count(), needs.any());
    }
    if !needs.any() {
        return Ok(constant(data, query));
    }
    let save = |at: usize| inputs[at].save(save_points[at], Op::Matmul);
    let saved = [save(0)?, save(1)?, save(2)?];
    let (visible, by) = (visible.clone(), by.clone());
    output("attention", data, &inputs, &[], move |grad| {
        let [q, k, v] = saved.map(|saved| saved.unpack());
        let grads = backward(&q?, &k?, &v?, &grad, &visible, mask);
        let grads = grads.map_err(|e| by.failed(e))?;
        Ok(Gradients { inputs: grads.map(Some).into(), parameters: Vec::new() })
    })
}

/// Enters both products into the ledger of a pass over blanks. Going back, the scores are computed once more.
fn note_products(
    [query, key, value]: [&Activation; 3],
    save_points: [&Arc<SavePoint>; 3],
    outputs: usize,
    goes_back: bool,
) {
    let Some(ledger) = query.pass().ledger() else { return };
    let size = |x: &Activation, axis: usize| x.dims().get(axis).copied().unwrap_or_default();
    let (keys, width) = (size(key, 2), size(key, 3));
    let scores = query.dims().iter().take(3).product::<usize>() * keys;
    let (again, [by_scores, by_values]) =
        (query.pass().is_again(), if goes_back { [3, 2] } else { [0; 2] });
    let product = |at: usize, factor: &Activation, output, gradients| Product {
        again,
        ..Product::new(
            save_points[at].shared_name(),
            query.data(),
            factor.data().elem_count(),
            output,
            gradients,
        )
    };
    ledger.multiply(product(0, key, (scores, width), by_scores));
    ledger.multiply(product(2, value, (outputs, keys), by_values));
}
