//! [`step_derivative`](crate::step_derivative) on a CUDA device.

use candle_core::{DType, Tensor};

use super::{Call, Gpu, Launch, finite};
use crate::Result;
use crate::step_derivative::KERNEL;

/// `step_derivative::codes`.
///
/// # Errors
/// Returns an error if an element is not finite, the type is not supported, or the device fails.
pub fn codes(gpu: &dyn Gpu, input: &Tensor, thresholds: [f64; 3]) -> Result<Tensor> {
    finite::check(gpu, KERNEL, "the input", input)?;
    let count = input.elem_count();
    let launch = Launch::elements(count.div_ceil(4));
    let call = Call::typed("step_derivative_codes", input.dtype(), launch)?
        .input(input)
        .output_of(DType::U8, count.div_ceil(4));
    let [codes] = with_numbers(call, &thresholds).size(count).run(gpu)?;
    Ok(codes)
}

/// `step_derivative::backward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(gpu: &dyn Gpu, codes: &Tensor, levels: [f64; 4], grad: &Tensor) -> Result<Tensor> {
    let count = grad.elem_count();
    let launch = Launch::elements(count);
    let call = Call::typed("step_derivative_backward", grad.dtype(), launch)?
        .input(grad)
        .input_of(DType::U8, codes)
        .output(grad.shape());
    let [result] = with_numbers(call, &levels).size(count).run(gpu)?;
    Ok(result)
}

fn with_numbers(call: Call, numbers: &[f64]) -> Call {
    numbers.iter().fold(call, |call, &number| call.f32(number as f32))
}
