//! Sums in a fixed order.

use crate::element::Element;

/// Partial sums that are taken side by side, so that the compiler can keep them in one register.
const LANES: usize = 16;
/// Elements after which partial sums go to f64, so that rounding does not grow with the length.
const RUN: usize = 1024;

/// Sum over `f(i)` for `i` in `0..len`, in runs of f32 (or f64) lanes that are added up in f64.
pub(crate) fn sum_by<T: Element>(len: usize, f: impl Fn(usize) -> T) -> f64 {
    let mut total = 0.0;
    let mut start = 0;
    while start < len {
        let end = (start + RUN).min(len);
        let mut lanes = [T::zero(); LANES];
        let mut i = start;
        while i + LANES <= end {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += f(i + lane);
            }
            i += LANES;
        }
        for (lane, i) in (i..end).enumerate() {
            lanes[lane] += f(i);
        }
        total += lanes.iter().map(|lane| lane.wide()).sum::<f64>();
        start = end;
    }
    total
}

/// Sum of `values`.
pub(crate) fn sum<T: Element>(values: &[T]) -> f64 {
    sum_by(values.len(), |i| values[i])
}
