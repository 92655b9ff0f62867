//! The hyperbolic tangent.

use candle_core::Tensor;
use num_traits::One;

use crate::Result;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::par_vec::{LARGEST_PIECE as PIECE, write};
use crate::tensor_io::{by_dtype, read, same_shape};

const KERNEL: &str = "tanh";

/// `tanh x` for each element.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn forward(input: &Tensor) -> Result<Tensor> {
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => tanh::forward(input));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let output = write(input.len(), PIECE, |elements, output| {
            output.write([&input[elements]], |[x]: [T; 1]| x.tanh());
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// `grad (1 - y²)` for the exact or restored output `y`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn backward(output: &Tensor, grad: &Tensor) -> Result<Tensor> {
    same_shape(KERNEL, ("output", output.dims()), grad)?;
    on_cuda!(grad => tanh::backward(output, grad));
    let (device, shape) = (grad.device(), grad.shape());
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; output: T, grad: T);
        let result = write(grad.len(), PIECE, |elements, result| {
            let inputs = [&output[elements.clone()], &grad[elements]];
            result.write(inputs, |[y, g]: [T; 2]| g * (T::one() - y) * (T::one() + y));
        });
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}
