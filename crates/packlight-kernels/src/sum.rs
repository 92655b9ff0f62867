//! Sums in a fixed order.

use crate::dtype::Element;

/// Partial sums that are taken side by side, so that the compiler can keep them in one register.
const LANES: usize = 16;
/// Elements after which partial sums go to f64, so that rounding does not grow with the length.
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

/// Sum over what `f` makes of the elements of `slices`, all of one length, that have the same
/// index: in runs of lanes of the type that `f` gives, which are added up in f64.
///
/// Products of f32, squares above all, are to be given in f64: theirs may lie beyond all f32.
///
/// Plain loops, so that within `on_widest_vectors` all of it is compiled for these.
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
