//! Sums in a fixed order.

use crate::element::Element;

/// Partial sums that are taken side by side, so that the compiler can keep them in one register.
const LANES: usize = 16;
/// Elements after which partial sums go to f64, so that rounding does not grow with the length.
const RUN: usize = 1024;

/// Sum of `values`.
pub(crate) fn sum<T: Element>(values: &[T]) -> f64 {
    sum_of([values], |[value]| value)
}

/// Sum over what `f` makes of the elements of `slices`, all of one length, that have the same
/// index: in runs of f32 (or f64) lanes that are added up in f64.
pub(crate) fn sum_of<T: Element, const N: usize>(
    slices: [&[T]; N],
    f: impl Fn([T; N]) -> T,
) -> f64 {
    let len = shortest(slices);
    let run = |start: usize| {
        let runs = slices.map(|slice| slice[start..(start + RUN).min(len)].as_chunks::<LANES>());
        let (chunks, rest) = (runs.map(|(chunks, _)| chunks), runs.map(|(_, rest)| rest));
        let mut lanes = [T::zero(); LANES];
        for i in 0..shortest(chunks) {
            let chunk = chunks.map(|chunks| &chunks[i]);
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += f(chunk.map(|chunk| chunk[lane]));
            }
        }
        for (i, sum) in lanes.iter_mut().enumerate().take(shortest(rest)) {
            *sum += f(rest.map(|rest| rest[i]));
        }
        lanes.iter().map(|lane| lane.wide()).sum::<f64>()
    };
    (0..len).step_by(RUN).map(run).sum()
}

fn shortest<T, const N: usize>(slices: [&[T]; N]) -> usize {
    slices.iter().map(|slice| slice.len()).min().unwrap_or(0)
}
