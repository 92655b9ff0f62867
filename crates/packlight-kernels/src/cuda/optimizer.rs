//! [`optimizer`](crate::optimizer) on a CUDA device, for parameters in f32.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::optimizer::{AdamW, Sgd};

/// `Sgd::step`.
///
/// # Errors
/// Returns an error if the parameter or its velocity is not contiguous, the type is not supported or
/// the device fails.
pub fn sgd(
    gpu: &dyn Gpu,
    rule: &Sgd,
    parameter: &Tensor,
    velocity: &Tensor,
    grad: &Tensor,
) -> Result<()> {
    let count = parameter.elem_count();
    let [] = Call::plain("optimizer_sgd", Launch::elements(count))
        .in_out(parameter)
        .in_out(velocity)
        .input(grad)
        .size(count)
        .f32(rule.learning_rate as f32)
        .f32(rule.momentum as f32)
        .f32(rule.weight_decay as f32)
        .u32(rule.nesterov.into())
        .run(gpu)?;
    Ok(())
}

/// `AdamW::step`.
///
/// # Errors
/// Returns an error if the parameter or a moment is not contiguous, the type is not supported or the
/// device fails.
pub fn adamw(
    gpu: &dyn Gpu,
    rule: &AdamW,
    parameter: &Tensor,
    (m, v): (&Tensor, &Tensor),
    grad: &Tensor,
) -> Result<()> {
    let AdamW { learning_rate, betas, epsilon, weight_decay, step } = *rule;
    let undone = |beta: f64| (1.0 / (1.0 - beta.powi(step as i32))) as f32;
    let count = parameter.elem_count();
    let [] = Call::plain("optimizer_adamw", Launch::elements(count))
        .in_out(parameter)
        .in_out(m)
        .in_out(v)
        .input(grad)
        .size(count)
        .f32(betas.0 as f32)
        .f32((1.0 - betas.0) as f32)
        .f32(betas.1 as f32)
        .f32((1.0 - betas.1) as f32)
        .f32(undone(betas.0))
        .f32(undone(betas.1))
        .f32(epsilon as f32)
        .f32(learning_rate as f32)
        .f32((1.0 - learning_rate * weight_decay) as f32)
        .run(gpu)?;
    Ok(())
}
