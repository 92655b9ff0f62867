//! The largest magnitudes of a tensor, found in linear time.
//!
//! A radix selection: it reads the magnitudes' bits one digit at a time, from the highest down, and
//! counts the elements that share the digits so far, which are copied once they are few. Among equal
//! magnitudes at the threshold, those with the lowest indices are taken, so exactly the requested
//! number is kept, and the same elements for any number of threads. NaN is larger than everything.

use candle_core::Tensor;
use num_traits::Zero;
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::write;
use crate::tensor_io::{by_dtype, read, write_over};
use crate::{Error, Result};

const KERNEL: &str = "top_k";

/// Elements per parallel task; a multiple of 8, so that no two share a byte of mask.
const PIECE: usize = 32 * 1024;

/// Bits of a magnitude per pass over the elements.
const DIGIT: u32 = 11;

/// Of so many elements at most one may share the digits so far, for these to be copied and looked at alone.
const FEW: usize = 32;

/// The flat indices (`count`, u32) of the `count` largest elements, in ascending order.
///
/// # Errors
/// Returns an error if there are fewer elements or indices do not fit u32, or the type or device is
/// not supported.
pub fn indices(input: &Tensor, count: usize) -> Result<Tensor> {
    check(input, count, 1)?;
    if u32::try_from(input.elem_count()).is_err() {
        return Err(Error::shape(KERNEL, format!("{:?} has too many elements", input.dims())));
    }
    on_cuda!(input => top_k::indices(input, count));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let cut = Cut::new(input, count);
        let pieces: Vec<Vec<u32>> = input
            .par_chunks(PIECE)
            .enumerate()
            .map(|(piece, values)| {
                let kept = |(i, value): (usize, &T)| {
                    let index = piece * PIECE + i;
                    cut.keeps(index, *value).then_some(index as u32)
                };
                values.iter().enumerate().filter_map(kept).collect()
            })
            .collect();
        Ok(Tensor::from_vec(pieces.concat(), count, device)?)
    })
}

/// The mask, eight elements in a byte (u8), of the `count` largest elements of each of `samples`
/// equal parts of the tensor.
///
/// # Errors
/// Returns an error if the parts are not equal or have fewer elements, or the type or device is not
/// supported.
pub fn mask(input: &Tensor, samples: usize, count: usize) -> Result<Tensor> {
    let size = check(input, count, samples)?;
    on_cuda!(input => top_k::mask(input, samples, count));
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut mask = vec![0u8; input.len().div_ceil(8)];
        if !input.is_empty() {
            let cuts: Vec<Cut> = input.par_chunks(size).map(|part| Cut::new(part, count)).collect();
            mask.par_chunks_mut(PIECE / 8).zip(input.par_chunks(PIECE)).enumerate().for_each(
                |(piece, (mask, values))| mark(&cuts, size, piece * PIECE, values, mask),
            );
        }
        let bytes = mask.len();
        Ok(Tensor::from_vec(mask, bytes, device)?)
    })
}

/// The tensor with all but its `count` largest elements set to 0.
///
/// # Errors
/// Returns an error if there are fewer elements, or the type or device is not supported.
pub fn largest(input: &Tensor, count: usize) -> Result<Tensor> {
    check(input, count, 1)?;
    on_cuda!(input => top_k::largest(input, count));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let cut = Cut::new(input, count);
        let mut output = vec![T::zero(); input.len()];
        output.par_chunks_mut(PIECE).zip(input.par_chunks(PIECE)).enumerate().for_each(
            |(piece, (output, input))| {
                for (i, (y, &x)) in output.iter_mut().zip(input).enumerate() {
                    *y = if cut.keeps(piece * PIECE + i, x) { x } else { T::zero() };
                }
            },
        );
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// The elements at flat `indices` (u32).
///
/// # Errors
/// Returns an error if an index lies outside, or the type or device is not supported.
pub fn gather(input: &Tensor, indices: &Tensor) -> Result<Tensor> {
    on_cuda!(input => top_k::gather(input, indices));
    let (device, count) = (input.device(), indices.elem_count());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, indices: u32);
        if let Some(&index) = indices.iter().find(|&&index| index as usize >= input.len()) {
            return Err(outside(index));
        }
        let at = |&index: &u32| input[index as usize];
        let values: Vec<T> = indices.par_iter().with_min_len(PIECE).map(at).collect();
        Ok(Tensor::from_vec(values, count, device)?)
    })
}

/// A tensor of this shape with `values` at flat `indices` (u32) and 0 elsewhere.
///
/// # Errors
/// Returns an error if an index lies outside, the counts differ, or the type or device is not
/// supported.
pub fn scatter(values: &Tensor, indices: &Tensor, shape: &[usize]) -> Result<Tensor> {
    check_counts(values, indices)?;
    on_cuda!(values => top_k::scatter(values, indices, shape));
    let device = values.device();
    by_dtype!(KERNEL, values, T => {
        read!(KERNEL; values: T, indices: u32);
        let mut output = vec![T::zero(); shape.iter().product()];
        put_into(&mut output, values, indices)?;
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// The tensor with `values` at flat `indices` (u32) instead of what is there.
///
/// # Errors
/// Returns an error if an index lies outside, the counts differ, or the type or device is not
/// supported.
pub fn put(input: &Tensor, values: &Tensor, indices: &Tensor) -> Result<Tensor> {
    check_counts(values, indices)?;
    on_cuda!(input => top_k::put(input, values, indices));
    let (device, shape) = (input.device(), input.shape());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T, values: T, indices: u32);
        let mut output = write(input.len(), PIECE, |range, output| {
            output.write([&input[range]], |[value]| value);
        });
        put_into(&mut output, values, indices)?;
        Ok(Tensor::from_vec(output, shape, device)?)
    })
}

/// [`put`] in the storage of `input`, which nothing else may hold, where the device allows it.
///
/// # Errors
/// Returns an error if an index lies outside, the counts differ, `input` is not contiguous, or the type or
/// device is not supported.
pub fn put_over(input: Tensor, values: &Tensor, indices: &Tensor) -> Result<Tensor> {
    check_counts(values, indices)?;
    if indices.elem_count() == 0 {
        return Ok(input);
    }
    on_cuda!(&input => top_k::put(&input, values, indices));
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; values: T, indices: u32);
        write_over(&input, KERNEL, |output: &mut [T]| put_into(output, values, indices))?
    })?;
    Ok(input)
}

fn check_counts(values: &Tensor, indices: &Tensor) -> Result<()> {
    match (values.elem_count(), indices.elem_count()) {
        (values, indices) if values == indices => Ok(()),
        (values, indices) => {
            Err(Error::shape(KERNEL, format!("{values} values for {indices} indices")))
        }
    }
}

fn put_into<T: Element>(output: &mut [T], values: &[T], indices: &[u32]) -> Result<()> {
    for (&index, &value) in indices.iter().zip(values) {
        *output.get_mut(index as usize).ok_or_else(|| outside(index))? = value;
    }
    Ok(())
}

pub(crate) fn outside(index: u32) -> Error {
    Error::shape(KERNEL, format!("index {index} lies outside the tensor"))
}

/// The elements of one of `samples` equal parts of a tensor.
fn check(input: &Tensor, count: usize, samples: usize) -> Result<usize> {
    let elements = input.elem_count();
    let size = elements.checked_div(samples).unwrap_or(0);
    if size * samples != elements || count > size {
        return Err(Error::shape(
            KERNEL,
            format!("{:?} has no {count} elements in each of {samples} parts", input.dims()),
        ));
    }
    Ok(size)
}

/// Sets the mask bits of the kept `values`; the first has the flat index `start`.
fn mark<T: Element>(cuts: &[Cut], size: usize, start: usize, values: &[T], mask: &mut [u8]) {
    let mut first = 0;
    while first < values.len() {
        let (sample, offset) = ((start + first) / size, (start + first) % size);
        let part = (size - offset).min(values.len() - first);
        for (i, &value) in values[first..first + part].iter().enumerate() {
            let (index, bit) = (offset + i, first + i);
            mask[bit / 8] |= u8::from(cuts[sample].keeps(index, value)) << (bit % 8);
        }
        first += part;
    }
}

/// Separates the largest elements from the others: they are above a magnitude, or equal to it up to
/// an index.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    magnitude: u64,
    last: usize,
}

impl Cut {
    /// The cut that keeps the `count` largest of `values`, of which there must be that many.
    pub(crate) fn new<T: Element>(values: &[T], count: usize) -> Self {
        if count == 0 {
            return Self { magnitude: u64::MAX, last: 0 };
        }
        let (mut magnitude, mut shift, mut left) = (0, T::MAGNITUDE_BITS, count);
        let mut few: Option<Vec<(usize, u64)>> = None;
        while shift > 0 {
            let digit = DIGIT.min(shift);
            let counts = match &few {
                Some(few) => histogram_of_few(few, magnitude, shift, digit),
                None => histogram(values, magnitude, shift, digit),
            };
            let mut bin = counts.len() - 1;
            while bin > 0 && counts[bin] < left {
                left -= counts[bin];
                bin -= 1;
            }
            magnitude = magnitude << digit | bin as u64;
            shift -= digit;
            if few.is_none() && counts[bin] <= values.len() / FEW {
                few = Some(sharing(values, magnitude, shift));
            }
        }
        let last = match few {
            Some(few) => {
                let mut equal = few.iter().filter(|(_, own)| *own == magnitude);
                equal.nth(left.saturating_sub(1)).map_or(values.len(), |(index, _)| *index)
            }
            None => nth_equal(values, magnitude, left),
        };
        Self { magnitude, last }
    }

    pub(crate) fn keeps<T: Element>(self, index: usize, value: T) -> bool {
        let magnitude = value.magnitude_bits();
        magnitude > self.magnitude || (magnitude == self.magnitude && index <= self.last)
    }
}

/// For each value of the next digit, the number of `values` with it whose bits above `shift` are
/// `prefix`.
fn histogram<T: Element>(values: &[T], prefix: u64, shift: u32, digit: u32) -> Vec<usize> {
    let bins = 1 << digit;
    let count = |mut counts: Vec<usize>, values: &[T]| {
        for value in values {
            let bits = value.magnitude_bits();
            if bits >> shift == prefix {
                counts[(bits >> (shift - digit)) as usize & (bins - 1)] += 1;
            }
        }
        counts
    };
    let add = |mut a: Vec<usize>, b: Vec<usize>| {
        a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
        a
    };
    let none = || vec![0; bins];
    values.par_chunks(PIECE).fold(none, count).reduce(none, add)
}

/// The same of magnitudes that were copied.
fn histogram_of_few(few: &[(usize, u64)], prefix: u64, shift: u32, digit: u32) -> Vec<usize> {
    let bins = 1 << digit;
    let mut counts = vec![0; bins];
    for (_, bits) in few.iter().filter(|(_, bits)| bits >> shift == prefix) {
        counts[(bits >> (shift - digit)) as usize & (bins - 1)] += 1;
    }
    counts
}

/// The indices, in ascending order, and the magnitudes of the `values` whose bits above `shift` are `prefix`.
fn sharing<T: Element>(values: &[T], prefix: u64, shift: u32) -> Vec<(usize, u64)> {
    let pieces: Vec<Vec<(usize, u64)>> = values
        .par_chunks(PIECE)
        .enumerate()
        .map(|(piece, values)| {
            let all = values.iter().map(|value| value.magnitude_bits());
            let shares = (piece * PIECE..).zip(all).filter(|(_, bits)| bits >> shift == prefix);
            shares.collect()
        })
        .collect();
    pieces.concat()
}

/// The index of the `nth` value, counted from 1, of this magnitude.
fn nth_equal<T: Element>(values: &[T], magnitude: u64, nth: usize) -> usize {
    let equal = |value: &T| value.magnitude_bits() == magnitude;
    let count = |piece: &[T]| piece.iter().filter(|value| equal(value)).count();
    let counts: Vec<usize> = values.par_chunks(PIECE).map(count).collect();
    let mut left = nth;
    for (piece, &count) in counts.iter().enumerate() {
        if left <= count {
            let piece = piece * PIECE..values.len();
            let mut found = piece.filter(|&index| equal(&values[index]));
            return found.nth(left.saturating_sub(1)).unwrap_or(values.len());
        }
        left -= count;
    }
    values.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Key, Purpose};
    use candle_core::Device;
    use proptest::prelude::*;

    fn by_sorting(values: &[f64], count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let magnitude = |i: u32| values[i as usize].magnitude_bits();
            magnitude(b).cmp(&magnitude(a)).then(a.cmp(&b))
        });
        order.truncate(count);
        order.sort_unstable();
        order
    }

    proptest! {
        #[test]
        fn the_largest_are_those_that_sorting_finds(
            len in 0usize..300, share in 0usize..5, levels in 1u32..6, seed in 0u64..1000,
        ) {
            // Few distinct magnitudes make many ties.
            let mut stream = Key::new(seed, Purpose::Sample).stream();
            let mut value = || f64::from(stream.below(2 * levels + 1)) - f64::from(levels);
            let values: Vec<f64> = (0..len).map(|_| value()).collect();
            let count = len * share / 4;
            let tensor = Tensor::new(values.clone(), &Device::Cpu).unwrap();
            let expected = by_sorting(&values, count);
            prop_assert_eq!(indices(&tensor, count).unwrap().to_vec1::<u32>().unwrap(), expected.clone());
            let narrow = tensor.to_dtype(candle_core::DType::F32).unwrap();
            prop_assert_eq!(indices(&narrow, count).unwrap().to_vec1::<u32>().unwrap(), expected.clone());
            let bits = mask(&tensor, 1, count).unwrap().to_vec1::<u8>().unwrap();
            let set = |&i: &u32| bits[i as usize / 8] >> (i % 8) & 1 == 1;
            prop_assert_eq!((0..len as u32).filter(set).collect::<Vec<_>>(), expected.clone());
            let dense = largest(&tensor, count).unwrap();
            let kept = gather(&tensor, &indices(&tensor, count).unwrap()).unwrap();
            let scattered = scatter(&kept, &indices(&tensor, count).unwrap(), &[len]).unwrap();
            prop_assert_eq!(dense.to_vec1::<f64>().unwrap(), scattered.to_vec1::<f64>().unwrap());
            let rest = (&tensor - &dense).unwrap();
            let whole = put(&rest, &kept, &indices(&tensor, count).unwrap()).unwrap();
            prop_assert_eq!(whole.to_vec1::<f64>().unwrap(), tensor.to_vec1::<f64>().unwrap());
        }
    }

    #[test]
    fn what_few_elements_decide_is_what_sorting_finds() {
        let mut stream = Key::new(1, Purpose::Sample).stream();
        let mut values: Vec<f64> = (0..2 * PIECE).map(|_| stream.normal()).collect();
        values[PIECE + 7] = values[3]; // equal ones in both pieces
        let largest = values[3].abs();
        let count = values.iter().filter(|value| value.abs() >= largest).count();
        let tensor = Tensor::new(values.clone(), &Device::Cpu).unwrap();
        for count in [1, count - 1, count, values.len() / 100, values.len() / 10] {
            let found = indices(&tensor, count).unwrap().to_vec1::<u32>().unwrap();
            assert_eq!(found, by_sorting(&values, count), "{count}");
        }
    }

    #[test]
    fn ties_beyond_one_piece_are_taken_in_order() {
        let ones = Tensor::ones(3 * PIECE, candle_core::DType::F32, &Device::Cpu).unwrap();
        let found = indices(&ones, 2 * PIECE + 5).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(found, (0..2 * PIECE as u32 + 5).collect::<Vec<_>>());
    }

    #[test]
    fn not_a_number_is_largest() {
        let values = [1.0, f32::INFINITY, -0.0, f32::NAN, -f32::INFINITY];
        let tensor = Tensor::new(&values, &Device::Cpu).unwrap();
        assert_eq!(indices(&tensor, 1).unwrap().to_vec1::<u32>().unwrap(), [3]);
        assert_eq!(indices(&tensor, 3).unwrap().to_vec1::<u32>().unwrap(), [1, 3, 4]);
        assert!(indices(&tensor, 6).is_err() && mask(&tensor, 2, 1).is_err());
        let beyond = Tensor::new(&[5u32], &Device::Cpu).unwrap();
        let one = tensor.narrow(0, 0, 1).unwrap();
        assert!(put(&tensor, &one, &beyond).is_err() && put(&tensor, &tensor, &beyond).is_err());
    }
}
