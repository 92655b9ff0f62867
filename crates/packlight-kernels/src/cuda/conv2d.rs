//! [`conv2d`](crate::conv2d) on a CUDA device: by a routine of the device's own where it has one, which is cuDNN's,
//! or as products with the columns of the image (`conv2d.cu`), which are candle's and so cuBLAS's. There, the
//! samples are taken in pieces, so that the columns stay small beside the network.

use candle_core::{D, Tensor};

use super::product::product;
use super::{Call, ConvolutionPass, Gpu, Launch};
use crate::Result;
use crate::conv2d::{Conv2dGeometry, Problem};

/// The most elements of the columns of a piece, unless one sample has more.
const COLUMNS: usize = 64 << 20;

/// `conv2d::forward`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn forward(
    gpu: &dyn Gpu,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = &Problem::new(input.dims(), weight.dims(), geometry)?;
    let shape: [usize; 4] = problem.output_shape().into();
    let own = gpu.convolution(ConvolutionPass::Forward, [input, weight], &shape, geometry)?;
    let output = match own {
        Some(output) => output,
        None => {
            let weight = by_group(problem, weight)?;
            let outputs = pieces(problem).map(|(start, count)| {
                let columns = columns(gpu, problem, &input.narrow(0, start, count)?)?;
                planes(problem, &product(gpu, "conv2d", &weight, &columns)?, count)
            });
            Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 0)?
        }
    };
    Ok(match bias {
        Some(bias) => output.broadcast_add(&bias.reshape((1, problem.out_channels, 1, 1))?)?,
        None => output,
    })
}

/// `conv2d::input_grad`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn input_grad(
    gpu: &dyn Gpu,
    grad: &Tensor,
    weight: &Tensor,
    input_shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = &Problem::new(input_shape, weight.dims(), geometry)?;
    let pass = ConvolutionPass::InputGrad;
    if let Some(own) = gpu.convolution(pass, [grad, weight], input_shape, geometry)? {
        return Ok(own);
    }
    let weight = by_group(problem, weight)?.transpose(D::Minus1, D::Minus2)?;
    let images = pieces(problem).map(|(start, count)| {
        let columns =
            product(gpu, "conv2d", &weight, &rows(problem, &grad.narrow(0, start, count)?)?)?;
        image(gpu, problem, &columns, count)
    });
    Ok(Tensor::cat(&images.collect::<Result<Vec<_>>>()?, 0)?)
}

/// `conv2d::weight_grad`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn weight_grad(
    gpu: &dyn Gpu,
    input: &Tensor,
    grad: &Tensor,
    weight_shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Tensor> {
    let problem = &Problem::new(input.dims(), weight_shape, geometry)?;
    let pass = ConvolutionPass::WeightGrad;
    if let Some(own) = gpu.convolution(pass, [input, grad], weight_shape, geometry)? {
        return Ok(own);
    }
    let mut sum: Option<Tensor> = None;
    for (start, count) in pieces(problem) {
        let columns = columns(gpu, problem, &input.narrow(0, start, count)?)?;
        let grad = rows(problem, &grad.narrow(0, start, count)?)?;
        let own = product(gpu, "conv2d", &grad, &columns.transpose(D::Minus1, D::Minus2)?)?;
        sum = Some(match sum {
            Some(sum) => (sum + own)?,
            None => own,
        });
    }
    match sum {
        Some(sum) => Ok(sum.reshape(weight_shape)?),
        None => Ok(Tensor::zeros(weight_shape, grad.dtype(), grad.device())?),
    }
}

/// `conv2d::bias_grad`.
///
/// # Errors
/// Returns an error if the type is not supported or the device fails.
pub fn bias_grad(gpu: &dyn Gpu, grad: &Tensor) -> Result<Tensor> {
    let (samples, channels, height, width) = grad.dims4()?;
    let [sums] = Call::typed("conv2d_bias_grad", grad.dtype(), Launch::blocks(channels))?
        .input(grad)
        .output(channels)
        .size(samples)
        .size(channels)
        .size(height * width)
        .run(gpu)?;
    Ok(sums)
}

/// The first sample of each piece, and how many it has.
fn pieces(problem: &Problem) -> impl Iterator<Item = (usize, usize)> {
    let each = problem.in_channels * problem.taps() * problem.out_pixels();
    let (batch, size) = (problem.batch, (COLUMNS / each.max(1)).max(1));
    (0..batch).step_by(size).map(move |start| (start, size.min(batch - start)))
}

/// The weights (groups, outputs of a group, inputs of a group and taps).
fn by_group(problem: &Problem, weight: &Tensor) -> candle_core::Result<Tensor> {
    let shape =
        (problem.geometry.groups, problem.group_outputs(), problem.depth() * problem.taps());
    weight.contiguous()?.reshape(shape)
}

/// The columns (groups, inputs of a group and taps, samples and output pixels) of some samples.
fn columns(gpu: &dyn Gpu, problem: &Problem, input: &Tensor) -> Result<Tensor> {
    let samples = input.dim(0)?;
    let shape =
        (problem.geometry.groups, problem.depth() * problem.taps(), samples * problem.out_pixels());
    let launch = Launch::elements(shape.0 * shape.1 * shape.2);
    let call = Call::typed("conv2d_columns", input.dtype(), launch)?.input(input).output(shape);
    let [columns] = with_sizes(call, problem, samples).run(gpu)?;
    Ok(columns)
}

/// The images of these columns of some samples.
fn image(gpu: &dyn Gpu, problem: &Problem, columns: &Tensor, samples: usize) -> Result<Tensor> {
    let shape = (samples, problem.in_channels, problem.height, problem.width);
    let launch = Launch::elements(samples * problem.in_channels * problem.pixels());
    let call = Call::typed("conv2d_image", columns.dtype(), launch)?.input(columns).output(shape);
    let [image] = with_sizes(call, problem, samples).run(gpu)?;
    Ok(image)
}

/// Adds the sizes of the convolution.
fn with_sizes(call: Call, problem: &Problem, samples: usize) -> Call {
    let geometry = &problem.geometry;
    let mut call = call
        .size(samples)
        .size(problem.in_channels)
        .size(problem.height)
        .size(problem.width)
        .size(problem.out_height)
        .size(problem.out_width);
    for (y, x) in [problem.kernel, geometry.stride, geometry.padding, geometry.dilation] {
        call = call.u32(y as u32).u32(x as u32);
    }
    call
}

/// Output planes of some samples (samples, outputs, height, width) from (groups, outputs of a group, samples
/// and pixels).
fn planes(problem: &Problem, product: &Tensor, samples: usize) -> Result<Tensor> {
    let pixels = problem.out_pixels();
    let by_sample =
        product.reshape((problem.out_channels, samples, pixels))?.transpose(0, 1)?.contiguous()?;
    let (_, outputs, height, width) = problem.output_shape();
    Ok(by_sample.reshape((samples, outputs, height, width))?)
}

/// The reverse of [`planes`].
fn rows(problem: &Problem, planes: &Tensor) -> candle_core::Result<Tensor> {
    let (samples, pixels) = (planes.dim(0)?, problem.out_pixels());
    let by_channel = planes
        .contiguous()?
        .reshape((samples, problem.out_channels, pixels))?
        .transpose(0, 1)?
        .contiguous()?;
    by_channel.reshape((problem.geometry.groups, problem.group_outputs(), samples * pixels))
}
