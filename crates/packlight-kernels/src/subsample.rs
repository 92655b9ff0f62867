//! The parameter-free shortcut of CIFAR ResNets (He et al., 2015, option A).

use candle_core::Tensor;
use num_traits::Zero;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "subsample";

/// Every `stride`-th pixel of images (N,C,H,W), padded with zero channels to `channels`: half of
/// the missing ones before, half after.
///
/// # Errors
/// Returns an error if stride is 0, there are fewer channels than before or an odd number is
/// missing, or the type or device is not supported.
pub fn forward(images: &Tensor, stride: usize, channels: usize) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let before = missing_before(c, channels, stride)?;
    let (rows, columns) = (height.div_ceil(stride), width.div_ceil(stride));
    if is_blank(images) {
        return blank((n, channels, rows, columns), images.dtype());
    }
    on_cuda!(images => subsample::forward(images, stride, before));
    let device = images.device();
    by_dtype!(KERNEL, images, T => {
        read!(KERNEL; images: T);
        let mut output = vec![T::zero(); n * channels * rows * columns];
        for (plane, image) in images.chunks_exact((height * width).max(1)).enumerate() {
            let start = (plane / c * channels + before + plane % c) * rows * columns;
            for (at, value) in output[start..start + rows * columns].iter_mut().enumerate() {
                *value = image[at / columns * stride * width + at % columns * stride];
            }
        }
        Ok(Tensor::from_vec(output, (n, channels, rows, columns), device)?)
    })
}

/// The gradient of images of shape `shape`, for the gradient of [`forward`]'s output.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn backward(grad: &Tensor, shape: &[usize], stride: usize) -> Result<Tensor> {
    let (n, channels, rows, columns) = grad.dims4()?;
    let &[samples, c, height, width] = shape else {
        return Err(Error::shape(KERNEL, format!("expected images (N,C,H,W), found {shape:?}")));
    };
    let before = missing_before(c, channels, stride)?;
    if (n, rows, columns) != (samples, height.div_ceil(stride), width.div_ceil(stride)) {
        return Err(Error::shape(
            KERNEL,
            format!("output gradient {:?} does not fit {shape:?}", grad.dims()),
        ));
    }
    on_cuda!(grad => subsample::backward(grad, shape, stride, before));
    let device = grad.device();
    by_dtype!(KERNEL, grad, T => {
        read!(KERNEL; grad: T);
        let mut result = vec![T::zero(); n * c * height * width];
        for (plane, image) in result.chunks_exact_mut((height * width).max(1)).enumerate() {
            let start = (plane / c * channels + before + plane % c) * rows * columns;
            for (at, value) in grad[start..start + rows * columns].iter().enumerate() {
                image[at / columns * stride * width + at % columns * stride] = *value;
            }
        }
        Ok(Tensor::from_vec(result, shape, device)?)
    })
}

fn missing_before(from: usize, to: usize, stride: usize) -> Result<usize> {
    match to.checked_sub(from) {
        Some(missing) if missing % 2 == 0 && stride > 0 && from > 0 => Ok(missing / 2),
        _ => Err(Error::shape(
            KERNEL,
            format!(
                "{from} channels cannot become {to} with as many before as after, at stride {stride}"
            ),
        )),
    }
}
