//! [`subsample`](crate::subsample) on a CUDA device.

use candle_core::Tensor;

use super::{Call, Gpu, Launch};
use crate::Result;

/// `subsample::forward`, with `before` channels of zeros before those of the images and as many after them.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(gpu: &dyn Gpu, images: &Tensor, stride: usize, before: usize) -> Result<Tensor> {
    let (n, c, height, width) = images.dims4()?;
    let shape = [n, c + 2 * before, height.div_ceil(stride), width.div_ceil(stride)];
    let sizes = Sizes { images: images.dims(), output: &shape, stride, before };
    sizes.call(gpu, "subsample_forward", images, &shape)
}

/// `subsample::backward` to images of this shape.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn backward(
    gpu: &dyn Gpu,
    grad: &Tensor,
    shape: &[usize],
    stride: usize,
    before: usize,
) -> Result<Tensor> {
    let sizes = Sizes { images: shape, output: grad.dims(), stride, before };
    sizes.call(gpu, "subsample_backward", grad, shape)
}

struct Sizes<'a> {
    images: &'a [usize],
    output: &'a [usize],
    stride: usize,
    before: usize,
}

impl Sizes<'_> {
    fn call(
        &self,
        gpu: &dyn Gpu,
        name: &'static str,
        from: &Tensor,
        shape: &[usize],
    ) -> Result<Tensor> {
        let count = shape.iter().product();
        let [result] = Call::typed(name, from.dtype(), Launch::elements(count))?
            .input(from)
            .output(shape)
            .size(count)
            .size(self.output[1])
            .size(self.images[1])
            .size(self.before)
            .size(self.images[2])
            .size(self.images[3])
            .size(self.output[2])
            .size(self.output[3])
            .size(self.stride)
            .run(gpu)?;
        Ok(result)
    }
}
