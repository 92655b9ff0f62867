//! Products of activations. Keeps both operands, each of which the other's gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_kernels::batched_matmul::{Matrices, products};

use crate::activation::KeptPacked;
use crate::link::{Gradients, Needs, constant, output};
use crate::{Activation, Result, SavePoint};

/// `a b` for matrices `a` (..., m, k) and `b` (..., k, n), each kept by a layer of its own.
///
/// With a codec, each operand's gradient is the one for the other as it is restored.
///
/// # Errors
/// If the shapes do not fit, a codec cannot pack an operand, or a kernel is missing.
pub fn matmul(
    a: &Activation,
    b: &Activation,
    layer_a: &Arc<SavePoint>,
    layer_b: &Arc<SavePoint>,
) -> Result<Activation> {
    multiply((a, layer_a), (b, layer_b), false)
}

/// `a bᵀ` for matrices `a` (..., m, k) and `b` (..., n, k), each kept by a layer of its own, as in
/// [`matmul()`].
///
/// # Errors
/// If the shapes do not fit, a codec cannot pack an operand, or a kernel is missing.
pub fn matmul_transposed(
    a: &Activation,
    b: &Activation,
    layer_a: &Arc<SavePoint>,
    layer_b: &Arc<SavePoint>,
) -> Result<Activation> {
    multiply((a, layer_a), (b, layer_b), true)
}

fn multiply(
    (a, layer_a): (&Activation, &Arc<SavePoint>),
    (b, layer_b): (&Activation, &Arc<SavePoint>),
    transposed: bool,
) -> Result<Activation> {
    let right = if transposed { Matrices::transposed } else { Matrices::plain };
    let data =
        products(Matrices::plain(a.data()), right(b.data())).map_err(|e| layer_a.failed(e))?;
    let needs = Needs::of(&[a, b], &[]);
    if !needs.any() {
        return Ok(constant(data, a));
    }
    let kept = |needed: bool, x: &Activation, layer: &Arc<SavePoint>| {
        needed.then(|| Operand::keep(x, layer)).transpose()
    };
    let (kept_a, kept_b) = (kept(needs.inputs[1], a, layer_a)?, kept(needs.inputs[0], b, layer_b)?);
    output("matmul", data, &[a, b], &[], move |grad| {
        let grad = &grad;
        let by_b = kept_a.map(|a| {
            a.restored(|a| match transposed {
                true => products(Matrices::transposed(grad), Matrices::plain(a)),
                false => products(Matrices::transposed(a), Matrices::plain(grad)),
            })
        });
        let by_b = by_b.transpose()?;
        let by_a = kept_b.map(|b| {
            b.restored(|b| match transposed {
                true => products(Matrices::plain(grad), Matrices::plain(b)),
                false => products(Matrices::plain(grad), Matrices::transposed(b)),
            })
        });
        let inputs = vec![by_a.transpose()?, by_b];
        Ok(Gradients { inputs, parameters: Vec::new() })
    })
}

/// A kept operand.
struct Operand {
    packed: Arc<KeptPacked>,
    layer: Arc<SavePoint>,
}

impl Operand {
    fn keep(x: &Activation, layer: &Arc<SavePoint>) -> Result<Self> {
        Ok(Self { packed: x.keep(layer, x.axes())?, layer: layer.clone() })
    }

    /// What `f` makes of the operand, which is then freed.
    fn restored(
        self,
        f: impl FnOnce(&Tensor) -> packlight_kernels::Result<Tensor>,
    ) -> Result<Tensor> {
        let tensor = self.packed.value().unpack().map_err(|e| self.layer.codec_failed(e))?;
        f(&tensor).map_err(|e| self.layer.failed(e))
    }
}
