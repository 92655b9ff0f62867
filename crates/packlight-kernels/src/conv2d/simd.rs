//! The two inner loops of a direct convolution, for the widest vectors of the machine.
//!
//! The loops here are plain code on arrays of a fixed size, which the compiler turns into vector
//! registers of 256 bits; those for 512 bits are in [`super::avx512`].

#[cfg(target_arch = "x86_64")]
use super::avx512;
use crate::element::Element;

/// The vectors that the inner loops use, and with them their block sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lanes {
    /// Whatever every machine of this architecture has.
    Baseline,
    /// 256 bits, with fused multiplication and addition.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits, for f32 alone.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Output channels that a block of the plain loops holds.
const OUTPUTS: usize = 4;
/// Positions that a block of [`correlate_in`] holds.
const POSITIONS: usize = 16;
/// Weights that a block of [`accumulate_in`] holds.
const WEIGHTS: usize = 4;
/// Output channels that [`accumulate`] takes side by side.
pub(super) const CHANNELS: usize = 16;

impl Lanes {
    /// The widest that this machine has for `T`.
    pub(super) fn of_this_machine<T: Element>() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if T::as_f32(&[]).is_some() && is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }

    /// Output channels that [`correlate`] computes at a time.
    pub(super) fn outputs(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::OUTPUTS,
            _ => OUTPUTS,
        }
    }

    /// Positions that [`correlate`] computes at a time.
    pub(super) fn positions(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::POSITIONS,
            _ => POSITIONS,
        }
    }

    /// Positions that [`accumulate`] takes at a time.
    pub(super) fn run(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::RUN,
            _ => 1,
        }
    }

    /// Weights that [`accumulate`] takes at a time.
    pub(super) fn weights(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::WEIGHTS,
            _ => WEIGHTS,
        }
    }
}

/// For each of [`Lanes::outputs`] rows of `sums` and each position `q` in it:
/// `sums[o][q] = sum over k of weights[k][o] * padded[q + offsets[k]]`.
#[allow(unsafe_code)]
pub(super) fn correlate<T: Element>(
    lanes: Lanes,
    weights: &[T],
    padded: &[T],
    offsets: &[usize],
    sums: &mut [T],
) {
    match lanes {
        Lanes::Baseline => correlate_in::<T, false>(weights, padded, offsets, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `of_this_machine` found these instructions.
        Lanes::Avx2 => unsafe { correlate_avx2(weights, padded, offsets, sums) },
        #[cfg(target_arch = "x86_64")]
        Lanes::Avx512 => {
            let f32s = (T::as_f32(weights), T::as_f32(padded), T::as_f32_mut(sums));
            if let (Some(weights), Some(padded), Some(sums)) = f32s {
                // SAFETY: `of_this_machine` found these instructions.
                unsafe { avx512::correlate(weights, padded, offsets, sums) }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn correlate_avx2<T: Element>(weights: &[T], padded: &[T], offsets: &[usize], sums: &mut [T]) {
    correlate_in::<T, true>(weights, padded, offsets, sums);
}

#[inline(always)]
fn correlate_in<T: Element, const FUSED: bool>(
    weights: &[T],
    padded: &[T],
    offsets: &[usize],
    sums: &mut [T],
) {
    let row = sums.len() / OUTPUTS;
    for start in (0..row).step_by(POSITIONS) {
        let mut block = [[T::zero(); POSITIONS]; OUTPUTS];
        for (weights, &offset) in weights.as_chunks::<OUTPUTS>().0.iter().zip(offsets) {
            let pixels = &padded[start + offset..][..POSITIONS];
            for (sums, &weight) in block.iter_mut().zip(weights) {
                for (sum, &pixel) in sums.iter_mut().zip(pixels) {
                    *sum = multiply_add::<T, FUSED>(weight, pixel, *sum);
                }
            }
        }
        for (sums, block) in sums.chunks_exact_mut(row).zip(&block) {
            sums[start..start + POSITIONS].copy_from_slice(block);
        }
    }
}

/// For each weight `k` and channel `o`: `sums[k][o] += sum over q of padded[q + offsets[k]] *
/// grads[q][o]`. There are as many weights as offsets, a multiple of [`Lanes::weights`], and a
/// multiple of [`Lanes::run`] positions.
#[allow(unsafe_code)]
pub(super) fn accumulate<T: Element>(
    lanes: Lanes,
    grads: &[[T; CHANNELS]],
    padded: &[T],
    offsets: &[usize],
    sums: &mut [[T; CHANNELS]],
) {
    match lanes {
        Lanes::Baseline => accumulate_in::<T, false>(grads, padded, offsets, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `of_this_machine` found these instructions.
        Lanes::Avx2 => unsafe { accumulate_avx2(grads, padded, offsets, sums) },
        #[cfg(target_arch = "x86_64")]
        Lanes::Avx512 => {
            let f32s = (
                T::as_f32(grads.as_flattened()),
                T::as_f32(padded),
                T::as_f32_mut(sums.as_flattened_mut()),
            );
            if let (Some(grads), Some(padded), Some(sums)) = f32s {
                // SAFETY: `of_this_machine` found these instructions.
                unsafe { avx512::accumulate(grads, padded, offsets, sums) }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn accumulate_avx2<T: Element>(
    grads: &[[T; CHANNELS]],
    padded: &[T],
    offsets: &[usize],
    sums: &mut [[T; CHANNELS]],
) {
    accumulate_in::<T, true>(grads, padded, offsets, sums);
}

#[inline(always)]
fn accumulate_in<T: Element, const FUSED: bool>(
    grads: &[[T; CHANNELS]],
    padded: &[T],
    offsets: &[usize],
    sums: &mut [[T; CHANNELS]],
) {
    let blocks = sums.as_chunks_mut::<WEIGHTS>().0.iter_mut().zip(offsets.as_chunks::<WEIGHTS>().0);
    for (sums, offsets) in blocks {
        let pixels = offsets.map(|offset| &padded[offset..offset + grads.len()]);
        let mut block = *sums;
        for (q, grads) in grads.iter().enumerate() {
            for (sums, pixels) in block.iter_mut().zip(&pixels) {
                let pixel = pixels[q];
                for (sum, &grad) in sums.iter_mut().zip(grads) {
                    *sum = multiply_add::<T, FUSED>(grad, pixel, *sum);
                }
            }
        }
        *sums = block;
    }
}

/// `a * b + c`, rounded once where the machine does so in one instruction.
#[inline(always)]
fn multiply_add<T: Element, const FUSED: bool>(a: T, b: T, c: T) -> T {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
