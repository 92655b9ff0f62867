//! Packed tensors as operations use them.

#![allow(dead_code, unreachable_pub)] // each test uses a part

use candle_core::{DType, Tensor};
use packlight_codec::{AxisLayout, Bytes, Codec, CodecState, Op, Packed, Result, Site};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{gelu, linear, silu};

/// A linear layer, for codecs to which its weight's shape does not matter.
pub const LINEAR: Op<'static> = Op::Linear { weight_shape: &[] };

pub fn conv2d<'a>(weight_shape: &'a [usize], geometry: &Conv2dGeometry) -> Op<'a> {
    Op::Conv2d { weight_shape, geometry: *geometry }
}

/// The gradient for which `op` saved a tensor: from the packed form if it gives one, otherwise from
/// the unpacked tensor.
pub fn gradient(packed: &dyn Packed, op: Op<'_>, output_grad: &Tensor) -> Result<Tensor> {
    if let Some(gradient) = packed.gradient(op, output_grad)? {
        return Ok(gradient);
    }
    let x = packed.unpack()?;
    Ok(match op {
        Op::Conv2d { weight_shape, geometry } => {
            conv2d::weight_grad(&x, output_grad, weight_shape, &geometry)?
        }
        Op::Linear { .. } => linear::weight_grad(&x, output_grad)?,
        Op::Gelu => gelu::backward((&x).into(), output_grad)?,
        Op::Silu => silu::backward((&x).into(), output_grad)?,
        _ => panic!("{op:?} asks for no gradient"),
    })
}

/// The bytes that a codec predicts for what `op` saves, with nothing remembered.
pub fn bytes(
    codec: &dyn Codec,
    op: Op<'_>,
    axes: AxisLayout,
    shape: &[usize],
    dtype: DType,
) -> Result<Option<Bytes>> {
    let state = &mut CodecState::default();
    codec.bytes(&Site::new(op, axes, Key::new(1, Purpose::Codec), state), shape, dtype)
}
