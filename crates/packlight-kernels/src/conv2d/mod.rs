//! Two-dimensional convolution and its gradients.
//!
//! With input `A` (N,C,H,W), weight `W` (C',C/groups,Kh,Kw), output `Y` and output gradient `G`
//! (N,C',H',W'), stride s, padding p and dilation d:
//!
//! ```text
//! Y[b,o,h,w]  = bias[o] + sum_{c,i,j} W[o,c,i,j] A[b,c,s h + d i - p, s w + d j - p]
//! dW[o,c,i,j] = sum_{b,h,w} G[b,o,h,w] A[b,c,s h + d i - p, s w + d j - p]
//! ```
//!
//! These sums are computed directly, over an image laid out so that each tap reads the whole image
//! at another offset (`grid.rs`). The output and the input's gradient of 3 x 3 taps at stride 1 use
//! Winograd's method, which takes fewer multiplications (`winograd/`). Small planes have samples side by
//! side (`small_planes.rs`), and depthwise convolutions loops along pixels (`depthwise.rs`).

#[cfg(target_arch = "x86_64")]
mod avx512;
mod dense;
mod depthwise;
mod grid;
mod means_as_input;
pub(crate) mod planes;
mod pooled;
mod problem;
pub(crate) mod simd;
mod small_planes;
mod tap_sum;
mod weight_grad;
mod winograd;
mod workspace;

use candle_core::Tensor;

use crate::Result;
use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::sum::sum;
use crate::tensor_io::{by_dtype, read};
pub use problem::Conv2dGeometry;
pub(crate) use problem::Problem;
pub use workspace::{Workspace, workspace};

const KERNEL: &str = "conv2d";

/// The output (N,C',H',W') for input (N,C,H,W), weight (C',C/groups,Kh,Kw) and bias (C').
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn forward(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = Problem::new(input.dims(), weight.dims(), geometry)?;
    if let Some(bias) = bias {
        problem.check_bias(bias.dims())?;
    }
    if is_blank(input) {
        return blank(problem.output_shape(), input.dtype());
    }
    on_cuda!(input => conv2d::forward(input, weight, bias, geometry));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, weight: T);
        let output = match bias {
            Some(bias) => {
                read!(KERNEL; bias: T);
                tap_sum::forward(&problem, input, weight, Some(bias))
            }
            None => tap_sum::forward(&problem, input, weight, None),
        };
        Ok(Tensor::from_vec(output, problem.output_shape(), device)?)
    })
}

/// The gradient of the input, of shape `input_shape`, for output gradient `grad`.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn input_grad(
    grad: &Tensor,
    weight: &Tensor,
    input_shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = Problem::new(input_shape, weight.dims(), geometry)?;
    problem.check_grad(grad.dims())?;
    on_cuda!(grad => conv2d::input_grad(grad, weight, input_shape, geometry));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T, weight: T);
        Ok(Tensor::from_vec(tap_sum::input_grad(&problem, grad, weight), input_shape, device)?)
    })
}

/// The gradient of the weight, of shape `weight_shape`, for the exact or restored input.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn weight_grad(
    input: &Tensor,
    grad: &Tensor,
    weight_shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = Problem::new(input.dims(), weight_shape, geometry)?;
    problem.check_grad(grad.dims())?;
    on_cuda!(input => conv2d::weight_grad(input, grad, weight_shape, geometry));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, grad: T);
        Ok(Tensor::from_vec(dense::weight_grad(&problem, input, grad), weight_shape, device)?)
    })
}

/// The gradient of the weight for an input of shape `input_shape` that is given as the means over
/// `block` x `block` pixels ([`crate::block_pool::pool`]).
///
/// Equal to unpooling and then calling [`weight_grad`], but without building the unpooled input:
/// the output gradient is summed over the pixels of each block at each tap, which leaves a product
/// with 1/block^2 of the multiplications.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn weight_grad_from_pooled(
    pooled: &Tensor,
    block: usize,
    input_shape: &[usize],
    grad: &Tensor,
    weight_shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = Problem::new(input_shape, weight_shape, geometry)?;
    problem.check_grad(grad.dims())?;
    problem.check_pooled(pooled.dims(), block)?;
    #[cfg(feature = "cuda")]
    if grad.device().is_cuda() {
        let unpooled = crate::block_pool::unpool(pooled, block, (problem.height, problem.width))?;
        return weight_grad(&unpooled, grad, weight_shape, geometry);
    }
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; pooled: T, grad: T);
        let result = pooled::weight_grad(&problem, pooled, block, grad);
        Ok(Tensor::from_vec(result, weight_shape, device)?)
    })
}

/// The gradient of the bias: the sum of `grad` (N,C',H',W') over samples and pixels.
///
/// # Errors
/// Returns an error if `grad` has another rank, or the type or device is not supported.
pub fn bias_grad(grad: &Tensor) -> Result<Tensor> {
    let (samples, channels, height, width) = grad.dims4()?;
    on_cuda!(grad => conv2d::bias_grad(grad));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let pixels = height * width;
        let sums: Vec<T> = (0..channels)
            .map(|channel| {
                let planes = (0..samples).map(|sample| (sample * channels + channel) * pixels);
                T::narrow(planes.map(|start| sum(&grad[start..start + pixels])).sum())
            })
            .collect();
        Ok(Tensor::from_vec(sums, channels, device)?)
    })
}
