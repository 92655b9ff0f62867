//! [`cross_entropy`](crate::cross_entropy) on a CUDA device. The loss and its gradient are in f32, also
//! for logits in bf16. Labels have been checked.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch};
use crate::Result;
use crate::cross_entropy::Targets;

/// `cross_entropy::forward` for labels of which `counting` are not ignored.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(
    gpu: &dyn Gpu,
    logits: &Tensor,
    labels: &Tensor,
    targets: &Targets,
    counting: usize,
) -> Result<(Tensor, Tensor)> {
    let (rows, classes) = sizes(logits, labels);
    let call = Call::typed("cross_entropy_forward", logits.dtype(), Launch::warps(rows))?
        .input(logits)
        .input_of(DType::I64, &labels.to_dtype(DType::I64)?)
        .output(logits.shape())
        .output_of(DType::F64, rows)
        .size(rows)
        .size(classes)
        .f64(targets.smoothing);
    let [probabilities, losses] = ignored(call, targets).run(gpu)?;
    let [loss] = Call::plain("cross_entropy_mean", Launch::blocks(1))
        .input_of(DType::F64, &losses)
        .output(())
        .size(rows)
        .f64(counting as f64)
        .run(gpu)?;
    Ok((loss, probabilities))
}

/// `cross_entropy::backward` for labels of which `counting` are not ignored.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(
    gpu: &dyn Gpu,
    probabilities: &Tensor,
    labels: &Tensor,
    targets: &Targets,
    grad: &Tensor,
    counting: usize,
) -> Result<Tensor> {
    let (rows, classes) = sizes(probabilities, labels);
    let launch = Launch::warps(rows);
    let call = Call::typed("cross_entropy_backward", probabilities.dtype(), launch)?
        .input(probabilities)
        .input_of(DType::I64, &labels.to_dtype(DType::I64)?)
        .input_of(DType::F32, grad)
        .output(probabilities.shape())
        .size(rows)
        .size(classes)
        .f64(targets.smoothing);
    let [result] = ignored(call, targets).f32(counting as f32).run(gpu)?;
    Ok(result)
}

/// Rows and classes.
fn sizes(logits: &Tensor, labels: &Tensor) -> (usize, usize) {
    let rows = labels.elem_count();
    (rows, logits.elem_count() / rows)
}

/// The label to ignore as an index; without one, -1, which is no label.
fn ignored(call: Call, targets: &Targets) -> Call {
    call.size(targets.ignored.map_or(usize::MAX, |label| label as usize))
}
