//! Products of activations. Saves both operands, each of which the other's gradient needs.

use std::sync::Arc;

use packlight_codec::Op;
use packlight_kernels::batched_matmul::{Matrices, products};
use packlight_kernels::blank::is_blank;

use crate::operation::{Gradients, Needs, constant, output_owning};
use crate::{Activation, Product, Result, SavePoint};

/// `a b` for matrices `a` (..., m, k) and `b` (..., k, n), each saved at its own save point.
///
/// With a codec, each operand's gradient is the one for the other as it is restored.
///
/// # Errors
/// Returns an error if the shapes do not fit, a codec cannot pack an operand, or a kernel is
/// missing.
pub fn matmul(
    a: &Activation,
    b: &Activation,
    save_point_a: &Arc<SavePoint>,
    save_point_b: &Arc<SavePoint>,
) -> Result<Activation> {
    multiply((a, save_point_a), (b, save_point_b), false)
}

/// `a bᵀ` for matrices `a` (..., m, k) and `b` (..., n, k), each saved at its own save point, as
/// in [`matmul()`].
///
/// # Errors
/// Returns an error if the shapes do not fit, a codec cannot pack an operand, or a kernel is
/// missing.
pub fn matmul_transposed(
    a: &Activation,
    b: &Activation,
    save_point_a: &Arc<SavePoint>,
    save_point_b: &Arc<SavePoint>,
) -> Result<Activation> {
    multiply((a, save_point_a), (b, save_point_b), true)
}

fn multiply(
    (a, save_point_a): (&Activation, &Arc<SavePoint>),
    (b, save_point_b): (&Activation, &Arc<SavePoint>),
    transposed: bool,
) -> Result<Activation> {
    let right = if transposed { Matrices::transposed } else { Matrices::plain };
    let data =
        products(Matrices::plain(a.data()), right(b.data())).map_err(|e| save_point_a.failed(e))?;
    let needs = Needs::of(&[a, b], &[]);
    if let Some(ledger) = a.pass().ledger().filter(|_| is_blank(&data)) {
        let per_output = a.dims().last().copied().unwrap_or_default();
        let gradients = needs.inputs.iter().filter(|&&need| need).count();
        let (layer, factor) = (save_point_a.shared_name(), b.data().elem_count());
        ledger.multiply(Product {
            again: a.pass().is_again(),
            ..Product::new(layer, a.data(), factor, (data.elem_count(), per_output), gradients)
        });
    }
    if !needs.any() {
        return Ok(constant(data, a).of_its_own());
    }
    let save = |needed: bool, x: &Activation, save_point: &Arc<SavePoint>| {
        needed.then(|| x.save(save_point, Op::Matmul)).transpose()
    };
    let saved_a = save(needs.inputs[1], a, save_point_a)?;
    let saved_b = save(needs.inputs[0], b, save_point_b)?;
    let y = output_owning("matmul", data, &[a, b], &[], move |grad| {
        let grad = grad.tensor();
        let by_b = saved_a.map(|a| {
            a.compute(|a| match transposed {
                true => products(Matrices::transposed(grad), Matrices::plain(a)),
                false => products(Matrices::transposed(a), Matrices::plain(grad)),
            })
        });
        let by_b = by_b.transpose()?;
        let by_a = saved_b.map(|b| {
            b.compute(|b| match transposed {
                true => products(Matrices::plain(grad), Matrices::plain(b)),
                false => products(Matrices::plain(grad), Matrices::transposed(b)),
            })
        });
        let inputs = vec![by_a.transpose()?, by_b];
        Ok(Gradients { inputs, parameters: Vec::new() })
    })?;
    Ok(y.of_its_own())
}
