//! The product of images with a gate for each channel. Saves both, each of which the other's
//! gradient needs.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::Op;
use packlight_kernels::{Result as KernelResult, blank, plane_scale};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result, SavePoint};

/// `x gate` for images `x` (N,C,H,W) and gates (N,C) or (N,C,1,1), each saved at its own save point.
///
/// With a codec, each operand's gradient is the one for the other as it is restored.
///
/// # Errors
/// Returns an error if the shapes do not fit, a codec cannot pack an operand, or a kernel is
/// missing.
pub fn gate(
    x: &Activation,
    gate: &Activation,
    save_point_x: &Arc<SavePoint>,
    save_point_gate: &Arc<SavePoint>,
) -> Result<Activation> {
    let planes: Vec<usize> = match (x.dims(), gate.dims()) {
        (&[n, c, _, _], &[m, d] | &[m, d, 1, 1]) if (n, c) == (m, d) => vec![n, c],
        (x, gate) => {
            let reason =
                format!("images (N,C,H,W) and gates (N,C) expected, {x:?} and {gate:?} found");
            return Err(Error::Shape { op: "gate", reason });
        }
    };
    let factors = blank::reshape(gate.data(), &planes)?;
    let data = plane_scale::scale(x.data(), &factors).map_err(|e| save_point_x.failed(e))?;
    let needs = Needs::of(&[x, gate], &[]);
    if !needs.any() {
        return Ok(constant(data, x));
    }
    let save = |needed: bool, operand: &Activation, save_point: &Arc<SavePoint>| {
        needed.then(|| operand.save(save_point, Op::Matmul)).transpose()
    };
    let saved_x = save(needs.inputs[1], x, save_point_x)?;
    let saved_gate = save(needs.inputs[0], gate, save_point_gate)?;
    let shape = gate.dims().to_vec();
    output("gate", data, &[x, gate], &[], move |grad| {
        let by_gate = saved_x.map(|x| {
            x.compute(|x| -> KernelResult<Tensor> {
                Ok(plane_scale::products(x, &grad, &planes)?.reshape(&shape[..])?)
            })
        });
        let by_gate = by_gate.transpose()?;
        let by_x = saved_gate.map(|gate| {
            gate.compute(|gate| plane_scale::scale(&grad, &gate.reshape(&planes[..])?))
        });
        Ok(Gradients { inputs: vec![by_x.transpose()?, by_gate], parameters: Vec::new() })
    })
}
