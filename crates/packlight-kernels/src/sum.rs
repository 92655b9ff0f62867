//! Sums in a fixed order.

use crate::dtype::Element;

/// Partial sums computed at a time, so that the compiler can keep them in one vector register.
const LANES: usize = 16;
/// Elements after which partial sums are added up in f64, so that rounding errors do not grow with
/// the length.
const RUN: usize = 1024;

/// Sum of `values`, in f64.
#[inline(always)]
pub(crate) fn sum<T: Element>(values: &[T]) -> f64 {
    sum_of(
        [values],
        #[inline(always)]
        |[value]| value.wide(),
    )
}

/// The sum of `f` over the elements of `slices` (of equal length) with the same index: in lanes of
/// `f`'s result type, which are added up in f64.
///
/// `f` must compute products of f32 values in f64, since they may exceed the range of f32.
///
/// Plain loops, so that `on_widest_vectors` compiles all of it.
#[inline(always)]
pub(crate) fn sum_of<T: Element, S: Element, const N: usize>(
    slices: [&[T]; N],
    f: impl Fn([T; N]) -> S,
) -> f64 {
    let len = shortest(slices);
    let mut total = 0.0;
    for start in (0..len).step_by(RUN) {
        let end = (start + RUN).min(len);
        let whole = start + (end - start) / LANES * LANES;
        let mut lanes = [S::zero(); LANES];
        for first in (start..whole).step_by(LANES) {
            let mut chunks = [[T::zero(); LANES]; N];
            for (chunk, slice) in chunks.iter_mut().zip(&slices) {
                chunk.copy_from_slice(&slice[first..first + LANES]);
            }
            for (lane, sum) in lanes.iter_mut().enumerate() {
                let mut values = [T::zero(); N];
                for (value, chunk) in values.iter_mut().zip(&chunks) {
                    *value = chunk[lane];
                }
                *sum += f(values);
            }
        }
        for (lane, index) in (whole..end).enumerate() {
            let mut values = [T::zero(); N];
            for (value, slice) in values.iter_mut().zip(&slices) {
                *value = slice[index];
            }
            lanes[lane] += f(values);
        }
        let mut run = 0.0;
        for lane in lanes {
            run += lane.wide();
        }
        total += run;
    }
    total
}

#[inline(always)]
pub(crate) fn shortest<T, const N: usize>(slices: [&[T]; N]) -> usize {
    let mut len = usize::MAX;
    for slice in slices {
        len = len.min(slice.len());
    }
    len
}
