//! The inner loops of a convolution, on the widest vectors of the processor.
//!
//! All hold output channels in vector lanes and take pixels one by one, which may therefore lie
//! anywhere: a run of pixels is given by its first, and a tap or channel by an offset that is the
//! same for all runs.
//!
//! The loops here are plain code on arrays of a fixed size, which the compiler turns into 256-bit
//! vectors; the loops for 512 bits are in [`super::avx512`].

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use crate::dtype::Element;
use crate::simd_dispatch::Vectors;

/// Output channels of a block, one per vector lane.
pub(crate) const CHANNELS: usize = 16;
/// The most blocks of channels computed together.
pub(crate) const BLOCKS: usize = 2;
/// Neighbouring pixels of a run.
pub(crate) const RUN: usize = 4;
/// [`accumulate`] takes a multiple of this number of offsets.
pub(crate) const WEIGHTS: usize = 8;

/// The vectors that the inner loops use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// What every processor of this architecture has.
    Baseline,
    /// 256 bits, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits, for f32 only.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Lanes {
    /// The widest that this processor has for `T`.
    pub(crate) fn of_this_machine<T: Element>() -> Self {
        match Vectors::of_this_machine() {
            Vectors::Baseline => Self::Baseline,
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 if T::as_f32(&[]).is_some() => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 | Vectors::Avx512 => Self::Avx2,
        }
    }
}

/// Sums over offsets: for each block `b` of channels, run `r`, pixel `q` of it and channel `c`,
/// `sums[b][r][q][c] = sum over k of weights[b][k][c] * padded[runs[r] + offsets[k] + q * APART]`.
///
/// There are one or two blocks, and an even number of runs.
#[allow(unsafe_code)]
pub(super) fn correlate<T: Element, const APART: usize>(
    lanes: Lanes,
    weights: &[[T; CHANNELS]],
    padded: &[T],
    offsets: &[usize],
    runs: &[usize],
    sums: &mut [[[T; CHANNELS]; RUN]],
) {
    match lanes {
        Lanes::Baseline => correlate_in::<T, false, APART>(weights, padded, offsets, runs, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `of_this_machine` detected these instructions.
        Lanes::Avx2 => unsafe { correlate_avx2::<T, APART>(weights, padded, offsets, runs, sums) },
        #[cfg(target_arch = "x86_64")]
        Lanes::Avx512 => {
            let sums = sums.as_flattened_mut().as_flattened_mut();
            let f32s = (T::as_f32(weights.as_flattened()), T::as_f32(padded), T::as_f32_mut(sums));
            let (Some(weights), Some(padded), Some(sums)) = f32s else { return };
            let (weights, sums) = (weights.as_chunks().0, sums.as_chunks_mut().0.as_chunks_mut().0);
            // SAFETY: `of_this_machine` detected these instructions.
            match sums.split_at_mut_checked(runs.len()) {
                Some((first, second)) if !second.is_empty() => {
                    let (a, b) = weights.split_at(offsets.len());
                    let sums = [first, second];
                    unsafe { avx512::correlate::<2, APART>([a, b], padded, offsets, runs, sums) }
                }
                _ => unsafe {
                    avx512::correlate::<1, APART>([weights], padded, offsets, runs, [sums])
                },
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn correlate_avx2<T: Element, const APART: usize>(
    weights: &[[T; CHANNELS]],
    padded: &[T],
    offsets: &[usize],
    runs: &[usize],
    sums: &mut [[[T; CHANNELS]; RUN]],
) {
    correlate_in::<T, true, APART>(weights, padded, offsets, runs, sums);
}

#[inline(always)]
fn correlate_in<T: Element, const FUSED: bool, const APART: usize>(
    weights: &[[T; CHANNELS]],
    padded: &[T],
    offsets: &[usize],
    runs: &[usize],
    sums: &mut [[[T; CHANNELS]; RUN]],
) {
    for (block, sums) in sums.chunks_exact_mut(runs.len()).enumerate() {
        let weights = &weights[block * offsets.len()..][..offsets.len()];
        for (&run, sums) in runs.iter().zip(sums) {
            let mut held = [[T::zero(); CHANNELS]; RUN];
            for (weights, &offset) in weights.iter().zip(offsets) {
                let pixels = padded[run + offset..].iter().step_by(APART);
                for (held, &pixel) in held.iter_mut().zip(pixels) {
                    for (sum, &weight) in held.iter_mut().zip(weights) {
                        *sum = multiply_add::<T, FUSED>(weight, pixel, *sum);
                    }
                }
            }
            *sums = held;
        }
    }
}

/// Sums over runs: for each block `b` of channels, offset `k` and channel `c`,
/// `sums[b][k][c] += sum over r and q of grads[r][b][q][c] * padded[runs[r] + offsets[k] + q]`.
///
/// There are one or two blocks, and a multiple of [`WEIGHTS`] offsets.
#[allow(unsafe_code)]
pub(crate) fn accumulate<T: Element>(
    lanes: Lanes,
    grads: &[[[T; CHANNELS]; RUN]],
    padded: &[T],
    offsets: &[usize],
    runs: &[usize],
    sums: &mut [[T; CHANNELS]],
) {
    match lanes {
        Lanes::Baseline => accumulate_in::<T, false>(grads, padded, offsets, runs, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `of_this_machine` detected these instructions.
        Lanes::Avx2 => unsafe { accumulate_avx2(grads, padded, offsets, runs, sums) },
        #[cfg(target_arch = "x86_64")]
        Lanes::Avx512 => {
            let grads = grads.as_flattened().as_flattened();
            let sums = sums.as_flattened_mut();
            let f32s = (T::as_f32(grads), T::as_f32(padded), T::as_f32_mut(sums));
            let (Some(grads), Some(padded), Some(sums)) = f32s else { return };
            let (grads, sums) = (grads.as_chunks().0.as_chunks().0, sums.as_chunks_mut().0);
            // SAFETY: `of_this_machine` detected these instructions.
            match sums.split_at_mut_checked(offsets.len()) {
                Some((first, second)) if !second.is_empty() => unsafe {
                    avx512::accumulate(grads, padded, offsets, runs, [first, second])
                },
                _ => unsafe { avx512::accumulate(grads, padded, offsets, runs, [sums]) },
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn accumulate_avx2<T: Element>(
    grads: &[[[T; CHANNELS]; RUN]],
    padded: &[T],
    offsets: &[usize],
    runs: &[usize],
    sums: &mut [[T; CHANNELS]],
) {
    accumulate_in::<T, true>(grads, padded, offsets, runs, sums);
}

/// Offsets per iteration of [`accumulate_in`].
const TOGETHER: usize = 4;

#[inline(always)]
fn accumulate_in<T: Element, const FUSED: bool>(
    grads: &[[[T; CHANNELS]; RUN]],
    padded: &[T],
    offsets: &[usize],
    runs: &[usize],
    sums: &mut [[T; CHANNELS]],
) {
    let blocks = sums.len() / offsets.len();
    for (block, sums) in sums.chunks_exact_mut(offsets.len()).enumerate() {
        let sums = sums.as_chunks_mut::<TOGETHER>().0.iter_mut();
        for (sums, offsets) in sums.zip(offsets.as_chunks::<TOGETHER>().0) {
            let mut held = *sums;
            for (grads, &run) in grads[block..].iter().step_by(blocks).zip(runs) {
                let pixels = offsets.map(|offset| &padded[run + offset..][..RUN]);
                for (q, grads) in grads.iter().enumerate() {
                    for (held, pixels) in held.iter_mut().zip(&pixels) {
                        for (sum, &grad) in held.iter_mut().zip(grads) {
                            *sum = multiply_add::<T, FUSED>(grad, pixels[q], *sum);
                        }
                    }
                }
            }
            *sums = held;
        }
    }
}

/// Sums over ranges of lines, each of `size` vectors: `sums[k size + i] = sum over l in ranges[k]
/// of lines[l size + i]`.
#[allow(unsafe_code)]
pub(super) fn sum_lines<T: Element>(
    lanes: Lanes,
    lines: &[[T; CHANNELS]],
    size: usize,
    ranges: &[Range<usize>],
    sums: &mut [[T; CHANNELS]],
) {
    match lanes {
        Lanes::Baseline => sum_lines_in(lines, size, ranges, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `of_this_machine` found these instructions, which all machines with AVX-512 have.
        Lanes::Avx2 | Lanes::Avx512 => unsafe { sum_lines_avx2(lines, size, ranges, sums) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_lines_avx2<T: Element>(
    lines: &[[T; CHANNELS]],
    size: usize,
    ranges: &[Range<usize>],
    sums: &mut [[T; CHANNELS]],
) {
    sum_lines_in(lines, size, ranges, sums);
}

#[inline(always)]
fn sum_lines_in<T: Element>(
    lines: &[[T; CHANNELS]],
    size: usize,
    ranges: &[Range<usize>],
    sums: &mut [[T; CHANNELS]],
) {
    for (range, sums) in ranges.iter().zip(sums.chunks_exact_mut(size)) {
        sums.fill([T::zero(); CHANNELS]);
        for line in lines[range.start * size..range.end * size].chunks_exact(size) {
            for (sums, line) in sums.iter_mut().zip(line) {
                sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += *value);
            }
        }
    }
}

/// Sums over ranges of a line: `sums[k] = sum over i in ranges[k] of line[i]`.
#[allow(unsafe_code)]
pub(super) fn sum_within<T: Element>(
    lanes: Lanes,
    line: &[[T; CHANNELS]],
    ranges: &[Range<usize>],
    sums: &mut [[T; CHANNELS]],
) {
    match lanes {
        Lanes::Baseline => sum_within_in(line, ranges, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `of_this_machine` found these instructions, which all machines with AVX-512 have.
        Lanes::Avx2 | Lanes::Avx512 => unsafe { sum_within_avx2(line, ranges, sums) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_within_avx2<T: Element>(
    line: &[[T; CHANNELS]],
    ranges: &[Range<usize>],
    sums: &mut [[T; CHANNELS]],
) {
    sum_within_in(line, ranges, sums);
}

#[inline(always)]
fn sum_within_in<T: Element>(
    line: &[[T; CHANNELS]],
    ranges: &[Range<usize>],
    sums: &mut [[T; CHANNELS]],
) {
    for (range, sum) in ranges.iter().zip(sums) {
        let mut held = [T::zero(); CHANNELS];
        for value in &line[range.clone()] {
            held.iter_mut().zip(value).for_each(|(held, value)| *held += *value);
        }
        *sum = held;
    }
}

/// `a * b + c`, rounded only once if `FUSED`.
#[inline(always)]
fn multiply_add<T: Element, const FUSED: bool>(a: T, b: T, c: T) -> T {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
