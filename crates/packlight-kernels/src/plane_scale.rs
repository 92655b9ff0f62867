//! A factor for each plane: gates of channels, and samples that are dropped.

use candle_core::Tensor;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::{build, write};
use crate::simd_dispatch::on_widest_vectors;
use crate::sum::sum_of;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "plane_scale";

/// Elements per parallel task, or one plane where that is more.
const PIECE: usize = 16 * 1024;
/// Planes per parallel task of the sums.
const PLANES: usize = 16;

/// Each plane of `input` times its factor. The axes of `factors` are the first ones of `input`, and
/// the others make up a plane.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn scale(input: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let plane = plane_size(input, factors.dims())?;
    if is_blank(input) {
        return blank(input.shape(), input.dtype());
    }
    on_cuda!(input => plane_scale::scale(input, factors));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, factors: T);
        let together = (PIECE / plane).max(1);
        let output = write(input.len(), together * plane, |elements, output| {
            let factors = &factors[elements.start / plane..];
            for (plane, &factor) in input[elements].chunks_exact(plane).zip(factors) {
                output.write([plane], #[inline(always)] |[x]| x * factor);
            }
        });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// The sums over each plane of the products of `a` and `b`, with the first axes as `shape`: the
/// gradient of the factors.
///
/// # Errors
/// Returns an error if the shapes do not fit, or the type or device is not supported.
pub fn products(a: &Tensor, b: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if a.dims() != b.dims() {
        return Err(Error::shape(KERNEL, format!("{:?} and {:?} differ", a.dims(), b.dims())));
    }
    let plane = plane_size(a, shape)?;
    on_cuda!(a => plane_scale::products(a, b, shape));
    let device = a.device();
    by_dtype!(KERNEL, a, T => {
        read!(KERNEL; a: T, b: T);
        let sums = build(a.len() / plane, PLANES, |number, sums| {
            let planes = number * PLANES * plane..;
            sums_of(&a[planes.clone()], &b[planes], sums, plane);
        });
        Ok(Tensor::from_vec(sums, shape, device)?)
    })
}

/// The elements of each plane.
fn plane_size(input: &Tensor, leading: &[usize]) -> Result<usize> {
    let fits = input.dims().len() >= leading.len() && input.dims()[..leading.len()] == *leading;
    if !fits || input.elem_count() == 0 {
        return Err(Error::shape(
            KERNEL,
            format!("{leading:?} are not the first axes of {:?}, or it is empty", input.dims()),
        ));
    }
    Ok(input.dims()[leading.len()..].iter().product())
}

on_widest_vectors! {
    fn sums_of<T: Element>(a: &[T], b: &[T], sums: &mut [T], plane: usize) {
        for ((a, b), sum) in a.chunks_exact(plane).zip(b.chunks_exact(plane)).zip(sums) {
            *sum = T::narrow(sum_of(
                [a, b],
                #[inline(always)]
                |[a, b]| a.wide() * b.wide(),
            ));
        }
    }
}
