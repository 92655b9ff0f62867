//! Sparse tensors as a bit mask of the elements that are kept, and their values.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "bit_mask";

/// Bytes of mask per parallel task.
const PIECE: usize = 4096;

/// The mask of the nonzero elements, eight per byte (u8). A negative zero counts as nonzero, so
/// that nothing is lost.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn non_zero(input: &Tensor) -> Result<Tensor> {
    on_cuda!(input => bit_mask::non_zero(input));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut mask = vec![0u8; input.len().div_ceil(8)];
        mask.par_chunks_mut(PIECE).zip(input.par_chunks(8 * PIECE)).for_each(|(mask, input)| {
            for (byte, input) in mask.iter_mut().zip(input.chunks(8)) {
                for (bit, x) in input.iter().enumerate() {
                    *byte |= u8::from(x.to_bits() != 0) << bit;
                }
            }
        });
        let bytes = mask.len();
        Ok(Tensor::from_vec(mask, bytes, device)?)
    })
}

/// The elements whose bits are set in `mask`, in order.
///
/// # Errors
/// Returns an error if the mask is of another size, or the type or device is not supported.
pub fn compress(input: &Tensor, mask: &Tensor) -> Result<Tensor> {
    check(mask, input.elem_count())?;
    on_cuda!(input => bit_mask::compress(input, mask));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, mask: u8);
        let pieces: Vec<Vec<T>> = input
            .par_chunks(8 * PIECE)
            .zip(mask.par_chunks(PIECE))
            .map(|(input, mask)| {
                // Every element is written; the next one overwrites it unless it is kept.
                let mut kept = vec![T::zero(); count(mask) + 1];
                let mut next = 0;
                for (input, &byte) in input.chunks(8).zip(mask) {
                    for (bit, &x) in input.iter().enumerate() {
                        kept[next] = x;
                        next += usize::from(byte >> bit & 1);
                    }
                }
                kept.truncate(next);
                kept
            })
            .collect();
        let values = pieces.concat();
        let count = values.len();
        Ok(Tensor::from_vec(values, count, device)?)
    })
}

/// The tensor of this shape that [`compress`] was given, with 0 where the mask is not set.
///
/// # Errors
/// Returns an error if the sizes do not fit, or the type or device is not supported.
pub fn expand(values: &Tensor, mask: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let elements = shape.iter().product();
    check(mask, elements)?;
    on_cuda!(values => bit_mask::expand(values, mask, shape));
    let device = values.device();
    by_dtype!(KERNEL, values, T => {
        read!(KERNEL; values: T, mask: u8);
        let counts: Vec<usize> = mask.par_chunks(PIECE).map(count).collect();
        let mut rest = values;
        let mut parts = Vec::with_capacity(counts.len());
        for &count in &counts {
            let (part, after) = rest.split_at_checked(count).ok_or_else(|| misfit(values.len()))?;
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(misfit(values.len()));
        }
        let mut output = vec![T::zero(); elements];
        output
            .par_chunks_mut(8 * PIECE)
            .zip(mask.par_chunks(PIECE))
            .zip(parts)
            .for_each(|((output, mask), values)| {
                let mut values = values.iter();
                for (output, &byte) in output.chunks_mut(8).zip(mask) {
                    let mut bits = byte;
                    while bits != 0 {
                        if let (Some(y), Some(x)) =
                            (output.get_mut(bits.trailing_zeros() as usize), values.next())
                        {
                            *y = *x;
                        }
                        bits &= bits - 1;
                    }
                }
            });
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// The number of set bits.
fn count(mask: &[u8]) -> usize {
    mask.iter().map(|byte| byte.count_ones() as usize).sum()
}

pub(crate) fn misfit(values: usize) -> Error {
    Error::shape(KERNEL, format!("{values} values do not match the number of set bits"))
}

fn check(mask: &Tensor, elements: usize) -> Result<()> {
    if mask.dims() == [elements.div_ceil(8)] {
        return Ok(());
    }
    Err(Error::shape(KERNEL, format!("mask {:?} does not match {elements} elements", mask.dims())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn everything_but_zeros_comes_back_bit_by_bit() {
        let values: Vec<f32> = (0..100_003)
            .map(|i| match i % 5 {
                0 | 3 => 0.0,
                1 => -0.0,
                2 => f32::NAN,
                _ => i as f32,
            })
            .collect();
        let input = Tensor::new(values.clone(), &Device::Cpu).unwrap();
        let mask = non_zero(&input).unwrap();
        let kept = compress(&input, &mask).unwrap();
        assert_eq!(kept.elem_count(), values.iter().filter(|x| x.to_bits() != 0).count());
        let restored = expand(&kept, &mask, input.dims()).unwrap().to_vec1::<f32>().unwrap();
        assert!(restored.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(expand(&kept.narrow(0, 0, 5).unwrap(), &mask, input.dims()).is_err());
        assert!(expand(&kept, &mask, &[3]).is_err());
    }
}
