//! Sums of tensors of the same shape.

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;

use crate::blank::{blank, is_blank};
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::write;
use crate::tensor_io::{by_dtype, on_cpu, read};
use crate::{Error, Result};

const KERNEL: &str = "add";

/// Elements per parallel task.
const PIECE: usize = 16 * 1024;

/// `a + b`.
///
/// # Errors
/// Returns an error if the shapes differ, or the type or device is not supported.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check(a, b)?;
    if is_blank(a) {
        return blank(a.shape(), a.dtype());
    }
    on_cuda!(a => accumulate::add(a, b));
    let (device, shape) = (a.device(), a.shape());
    by_dtype!(KERNEL, a, T => {
        read!(KERNEL; a: T, b: T);
        let sum = write(a.len(), PIECE, |elements, sum| {
            sum.write([&a[elements.clone()], &b[elements]], |[a, b]| a + b);
        });
        Ok(Tensor::from_vec(sum, shape, device)?)
    })
}

/// `target += addend` in the storage of `target`, which nothing else may hold.
///
/// # Errors
/// Returns an error if the shapes differ, one is not contiguous, or the type or device is not
/// supported.
pub fn add_in_place(target: &Tensor, addend: &Tensor) -> Result<()> {
    check(target, addend)?;
    if is_blank(target) {
        return Ok(());
    }
    on_cuda!(target => accumulate::add_in_place(target, addend));
    on_cpu(target, KERNEL)?;
    let addend = addend.contiguous()?;
    Ok(target.inplace_op2(&addend, &AddInPlace)?)
}

fn check(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() == b.dims() && a.dtype() == b.dtype() {
        return Ok(());
    }
    Err(Error::shape(
        KERNEL,
        format!("{:?} {:?} and {:?} {:?} differ", a.dtype(), a.dims(), b.dtype(), b.dims()),
    ))
}

struct AddInPlace;

impl InplaceOp2 for AddInPlace {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        target_layout: &Layout,
        addend: &CpuStorage,
        addend_layout: &Layout,
    ) -> candle_core::Result<()> {
        match addend {
            CpuStorage::F32(_) => add_slices::<f32>(target, target_layout, addend, addend_layout),
            _ => add_slices::<f64>(target, target_layout, addend, addend_layout),
        }
    }
}

fn add_slices<T: Element>(
    target: &mut CpuStorage,
    target_layout: &Layout,
    addend: &CpuStorage,
    addend_layout: &Layout,
) -> candle_core::Result<()> {
    let addend = addend.as_slice::<T>()?;
    let (Some(target), Some(to), Some(from)) = (
        T::elements_mut(target),
        target_layout.contiguous_offsets(),
        addend_layout.contiguous_offsets(),
    ) else {
        candle_core::bail!("{KERNEL}: contiguous tensors of one type expected")
    };
    target[to.0..to.1]
        .par_chunks_mut(PIECE)
        .zip(addend[from.0..from.1].par_chunks(PIECE))
        .for_each(|(target, addend)| {
            for (target, addend) in target.iter_mut().zip(addend) {
                *target += *addend;
            }
        });
    Ok(())
}
