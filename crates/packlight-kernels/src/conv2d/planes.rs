//! Conversion between planes, one for each channel, and the inner loops' interleaved channels.

use std::array::from_fn;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::problem::Side;
use super::simd::{CHANNELS, Lanes, RUN};
use crate::dtype::Element;
use crate::par_vec::write;

/// Channels written at a time.
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

/// Interleaves rows: channel `c` of `cells[x]` becomes `rows[c * distance + x]`, for the first
/// `channels` of [`CHANNELS`]; the others are left unchanged.
#[inline]
pub(crate) fn side_by_side<T: Element>(
    lanes: Lanes,
    rows: &[T],
    distance: usize,
    channels: usize,
    cells: &mut [[T; CHANNELS]],
) {
    let done = if channels == CHANNELS {
        let runs = cells.as_chunks_mut().0;
        let all = (runs.len(), 1);
        squares_side_by_side(lanes, rows, distance, runs, all) * RUN
    } else {
        0
    };
    let (rows, cells) = (&rows[done..], &mut cells[done..]);
    if cells.is_empty() {
        return;
    }
    for first in (0..channels).step_by(QUARTER) {
        let rows = &rows[first * distance..];
        if channels - first < QUARTER {
            for (channel, row) in (first..channels).zip(rows.chunks(distance)) {
                cells.iter_mut().zip(row).for_each(|(cell, value)| cell[channel] = *value);
            }
            return;
        }
        let row = |number: usize| rows[number * distance..][..cells.len()].as_chunks::<QUARTER>();
        let [(a, rest_a), (b, rest_b), (c, rest_c), (d, rest_d)] = [row(0), row(1), row(2), row(3)];
        let (chunks, rest) = cells.as_chunks_mut::<QUARTER>();
        for ((((cells, a), b), c), d) in chunks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            for (x, cell) in cells.iter_mut().enumerate() {
                cell[first..first + QUARTER].copy_from_slice(&[a[x], b[x], c[x], d[x]]);
            }
        }
        for (x, cell) in rest.iter_mut().enumerate() {
            let values = [rest_a[x], rest_b[x], rest_c[x], rest_d[x]];
            cell[first..first + QUARTER].copy_from_slice(&values);
        }
    }
}

/// Interleaves as many of the first `count` runs of [`CHANNELS`] rows as the widest vectors do whole lines of the
/// cache at a time, and returns how many. The runs are `apart` from each other.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
#[inline]
#[allow(unsafe_code)]
fn squares_side_by_side<T: Element>(
    lanes: Lanes,
    rows: &[T],
    distance: usize,
    runs: &mut [[[T; CHANNELS]; RUN]],
    (count, apart): (usize, usize),
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if lanes == Lanes::Avx512
        && let Some(rows) = T::as_f32(rows)
        && let Some(runs) = T::as_f32_mut(runs.as_flattened_mut().as_flattened_mut())
    {
        let count = count / RUN * RUN;
        let runs = runs.as_chunks_mut().0.as_chunks_mut().0;
        // SAFETY: `of_this_machine` detected these instructions.
        unsafe { avx512::side_by_side(rows, distance, runs, count, apart) };
        return count;
    }
    0
}

/// Interleaves rows at runs of their elements: for each run, `targets` has its first element in the first row
/// and how many there are. The runs are `apart` from each other; elements beyond their end and beyond the
/// `channels` are zero.
pub(crate) fn runs_side_by_side<T: Element>(
    lanes: Lanes,
    rows: &[T],
    (distance, channels): (usize, usize),
    targets: &[(usize, usize)],
    runs: &mut [[[T; CHANNELS]; RUN]],
    apart: usize,
) {
    let mut number = 0;
    while let Some(&(at, count)) = targets.get(number) {
        let runs = &mut runs[number * apart..];
        if channels == CHANNELS && count == RUN {
            // Runs that follow one another.
            let follow =
                |&(after, target): &(usize, &(usize, usize))| *target == (at + after * RUN, RUN);
            let together = targets[number..].iter().enumerate().take_while(follow).count();
            let rows = &rows[at..];
            let done = squares_side_by_side(lanes, rows, distance, runs, (together, apart));
            number += done;
            if done > 0 {
                continue;
            }
        } else {
            runs[0] = [[T::zero(); CHANNELS]; RUN];
        }
        side_by_side(lanes, &rows[at..], distance, channels, &mut runs[0][..count]);
        number += 1;
    }
}

/// Interleaves all taps of source channel `channel` for the target channels of a group from `first` on,
/// at most [`CHANNELS`]; channels too many hold zeros. `weight` begins with the group's.
pub(super) fn taps_side_by_side<T: Element>(
    lanes: Lanes,
    weight: &[T],
    (from, to): (&Side, &Side),
    (channel, first): (usize, usize),
    taps: &mut [[T; CHANNELS]],
) {
    let count = to.channels.saturating_sub(first).min(CHANNELS);
    if count < CHANNELS {
        taps.fill([T::zero(); CHANNELS]);
    }
    if count > 0 {
        let weight = &weight[first * to.weights + channel * from.weights..];
        side_by_side(lanes, weight, to.weights, count, taps);
    }
}

/// Puts the planes of all samples in order, where `batches` has them in batches of `channels` target
/// channels: of each batch the planes of all samples, the last of a group with room for as many channels.
pub(super) fn sample_by_sample<T: Element>(
    batches: &[T],
    (samples, groups): (usize, usize),
    target: &Side,
    channels: usize,
) -> Vec<T> {
    let pixels = target.pixels();
    let of_group = target.channels.div_ceil(channels);
    let sample = groups * target.channels * pixels;
    write(samples * sample, sample, |elements, planes| {
        let number = elements.start / sample;
        for batch in 0..groups * of_group {
            let count = channels.min(target.channels - batch % of_group * channels);
            let start = (batch * samples + number) * channels * pixels;
            planes.write([&batches[start..][..count * pixels]], |[value]| value);
        }
    })
}
