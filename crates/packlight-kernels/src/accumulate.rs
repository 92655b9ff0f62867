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

/// `x` with `part` added to each part of it: the shape of `part` is that of the last axes of `x`.
///
/// # Errors
/// Returns an error if it is not, or the type or device is not supported.
pub fn add_to_each(x: &Tensor, part: &Tensor) -> Result<Tensor> {
    if !x.dims().ends_with(part.dims()) || x.dtype() != part.dtype() {
        return Err(misfit(x, part));
    }
    if is_blank(x) {
        return blank(x.shape(), x.dtype());
    }
    if !x.device().is_cpu() {
        return Ok(x.broadcast_add(part)?);
    }
    let (device, shape) = (x.device(), x.shape());
    by_dtype!(KERNEL, x, T => {
        read!(KERNEL; x: T, part: T);
        let sum = write(x.len(), PIECE, |elements, sum| {
            let mut start = elements.start;
            while start < elements.end {
                let within = start % part.len();
                let end = elements.end.min(start + part.len() - within);
                sum.write([&x[start..end], &part[within..][..end - start]], |[a, b]| a + b);
                start = end;
            }
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

/// Adds `part` to the elements of `target` whose index along `axis` is `start` or one of the next, in the
/// storage of `target`, which nothing else may hold.
///
/// # Errors
/// Returns an error if there is no such part, `target` is not contiguous, or the type or device is not
/// supported.
pub fn add_part_in_place(target: &Tensor, axis: usize, start: usize, part: &Tensor) -> Result<()> {
    let length = part.dims().get(axis).copied().unwrap_or_default();
    check(&target.narrow(axis, start, length)?, part)?;
    if is_blank(target) {
        return Ok(());
    }
    if !target.device().is_cpu() {
        let behind = target.dims()[axis] - start - length;
        return add_in_place(target, &part.pad_with_zeros(axis, start, behind)?);
    }
    let part = part.contiguous()?;
    let after: usize = part.dims()[axis + 1..].iter().product();
    let add =
        AddPart { line: target.dims()[axis] * after, start: start * after, length: length * after };
    Ok(target.inplace_op2(&part, &add)?)
}

fn check(a: &Tensor, b: &Tensor) -> Result<()> {
    match a.dims() == b.dims() && a.dtype() == b.dtype() {
        true => Ok(()),
        false => Err(misfit(a, b)),
    }
}

fn misfit(a: &Tensor, b: &Tensor) -> Error {
    let reason =
        format!("{:?} {:?} and {:?} {:?} differ", a.dtype(), a.dims(), b.dtype(), b.dims());
    Error::shape(KERNEL, reason)
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
    let (target, addend) = slices::<T>((target, target_layout), (addend, addend_layout))?;
    target.par_chunks_mut(PIECE).zip(addend.par_chunks(PIECE)).for_each(|(target, addend)| {
        add_each(target, addend);
    });
    Ok(())
}

fn add_each<T: Element>(target: &mut [T], addend: &[T]) {
    for (target, addend) in target.iter_mut().zip(addend) {
        *target += *addend;
    }
}

/// The elements of a contiguous target and of what is added to it.
fn slices<'a, T: Element>(
    (target, target_layout): (&'a mut CpuStorage, &Layout),
    (addend, addend_layout): (&'a CpuStorage, &Layout),
) -> candle_core::Result<(&'a mut [T], &'a [T])> {
    let addend = addend.as_slice::<T>()?;
    let (Some(target), Some(to), Some(from)) = (
        T::elements_mut(target),
        target_layout.contiguous_offsets(),
        addend_layout.contiguous_offsets(),
    ) else {
        candle_core::bail!("{KERNEL}: contiguous tensors of one type expected")
    };
    Ok((&mut target[to.0..to.1], &addend[from.0..from.1]))
}

/// Adds lines of `length` elements to those that begin at `start` in each line of `line` elements.
struct AddPart {
    line: usize,
    start: usize,
    length: usize,
}

impl InplaceOp2 for AddPart {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        target_layout: &Layout,
        part: &CpuStorage,
        part_layout: &Layout,
    ) -> candle_core::Result<()> {
        match part {
            CpuStorage::F32(_) => self.add::<f32>(target, target_layout, part, part_layout),
            _ => self.add::<f64>(target, target_layout, part, part_layout),
        }
    }
}

impl AddPart {
    fn add<T: Element>(
        &self,
        target: &mut CpuStorage,
        target_layout: &Layout,
        part: &CpuStorage,
        part_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (target, part) = slices::<T>((target, target_layout), (part, part_layout))?;
        if self.length == 0 {
            return Ok(());
        }
        let lines = (PIECE / self.line).max(1); // of one task
        target
            .par_chunks_mut(lines * self.line)
            .zip(part.par_chunks(lines * self.length))
            .for_each(|(target, part)| {
                let target = target.chunks_exact_mut(self.line);
                for (target, part) in target.zip(part.chunks_exact(self.length)) {
                    add_each(&mut target[self.start..self.start + self.length], part);
                }
            });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn a_part_is_added_where_it_belongs() {
        let device = &Device::Cpu;
        let part = |shape: (usize, usize, usize)| {
            let count = (shape.0 * shape.1 * shape.2) as f64;
            Tensor::arange(1.0, 1.0 + count, device).unwrap().reshape(shape).unwrap()
        };
        for (axis, start, shape) in
            [(0, 1, (2, 4, 5)), (1, 0, (3, 2, 5)), (1, 3, (3, 1, 5)), (2, 2, (3, 4, 3))]
        {
            let target = part((3, 4, 5)).affine(1.0, 0.0).unwrap();
            let part = part(shape);
            let behind = [3, 4, 5][axis] - start - part.dims()[axis];
            let padded = part.pad_with_zeros(axis, start, behind).unwrap();
            let expected = add(&target, &padded).unwrap();
            add_part_in_place(&target, axis, start, &part).unwrap();
            let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(values(&target), values(&expected), "axis {axis}");
        }
        let target = Tensor::zeros((2, 3), DType::F64, device).unwrap();
        let wide = Tensor::zeros((2, 2), DType::F64, device).unwrap();
        assert!(add_part_in_place(&target, 1, 2, &wide).is_err());
        assert!(add_part_in_place(&target, 2, 0, &wide).is_err());
    }
}
