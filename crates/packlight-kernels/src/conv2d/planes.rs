//! Where the inner loops' sums go: from channels side by side to a plane for each channel.

use std::array::from_fn;
use std::ops::Range;

use super::simd::{CHANNELS, RUN};
use crate::element::Element;

/// Channels whose targets are written together.
const QUARTER: usize = 4;

/// The targets of some samples, a plane of `pixels` for each channel.
pub(super) struct Planes<'a, T> {
    pub(super) values: &'a mut [T],
    pub(super) pixels: usize,
    /// Added to all targets of a channel.
    pub(super) bias: Option<&'a [T]>,
}

impl<T: Element> Planes<'_, T> {
    /// Writes runs of targets of the channels `channels`, at most [`CHANNELS`]. For each run,
    /// `targets` has its first target in the first channel's plane and how many there are, which are
    /// `step` apart.
    pub(super) fn write(
        &mut self,
        channels: Range<usize>,
        runs: &[[[T; CHANNELS]; RUN]],
        targets: &[(usize, usize)],
        step: usize,
    ) {
        for quarter in 0..channels.len().div_ceil(QUARTER) {
            let first = channels.start + quarter * QUARTER;
            let channels = first..(first + QUARTER).min(channels.end);
            let mut shift = [T::zero(); QUARTER];
            if let Some(bias) = self.bias {
                shift.iter_mut().zip(&bias[channels.clone()]).for_each(|(s, b)| *s = *b);
            }
            for (&(at, count), run) in targets.iter().zip(runs) {
                let run = run.map(|pixel| pixel.as_chunks::<QUARTER>().0[quarter]);
                let rows: [[T; RUN]; QUARTER] =
                    from_fn(|row| from_fn(|pixel| run[pixel][row] + shift[row]));
                for (row, channel) in rows.iter().zip(channels.clone()) {
                    let target = &mut self.values[channel * self.pixels + at..];
                    if count == RUN && step == 1 {
                        target[..RUN].copy_from_slice(row);
                    } else {
                        for (number, &value) in row[..count].iter().enumerate() {
                            target[number * step] = value;
                        }
                    }
                }
            }
        }
    }
}
