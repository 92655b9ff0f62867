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
/// Positions that [`products_in`] takes at a time.
const RUN: usize = 8;

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

    /// Output channels that [`correlate`] and [`products`] take at a time.
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

    /// Positions that [`products`] takes at a time.
    pub(super) fn run(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::RUN,
            _ => RUN,
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

/// For each of [`Lanes::outputs`] planes `o` and each tap `t`, calls `add(o, t, sum)` with the sum
/// over the first `positions` positions `q` of `grads[o][q] * padded[q + offsets[t]]`.
#[allow(unsafe_code)]
pub(super) fn products<T: Element>(
    lanes: Lanes,
    grads: &[T],
    plane: usize,
    positions: usize,
    padded: &[T],
    offsets: &[usize],
    mut add: impl FnMut(usize, usize, T),
) {
    for (three, taps) in offsets.chunks(3).enumerate() {
        // Taps beyond the last repeat it; their sums are not handed on.
        let starts = [0, 1, 2].map(|tap| taps[tap.min(taps.len() - 1)]);
        let mut hand_on = |output: usize, sums: [T; 3]| {
            for (tap, sum) in sums.into_iter().take(taps.len()).enumerate() {
                add(output, 3 * three + tap, sum);
            }
        };
        match lanes {
            Lanes::Baseline => {
                let sums = products_in::<T, false>(grads, plane, positions, padded, starts);
                sums.into_iter().enumerate().for_each(|(output, sums)| hand_on(output, sums));
            }
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => {
                // SAFETY: `of_this_machine` found these instructions.
                let sums = unsafe { products_avx2(grads, plane, positions, padded, starts) };
                sums.into_iter().enumerate().for_each(|(output, sums)| hand_on(output, sums));
            }
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => {
                if let (Some(grads), Some(padded)) = (T::as_f32(grads), T::as_f32(padded)) {
                    // SAFETY: `of_this_machine` found these instructions.
                    let sums = unsafe { avx512::products(grads, plane, positions, padded, starts) };
                    for (output, sums) in sums.into_iter().enumerate() {
                        hand_on(output, sums.map(|sum| T::narrow(sum.wide())));
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn products_avx2<T: Element>(
    grads: &[T],
    plane: usize,
    positions: usize,
    padded: &[T],
    starts: [usize; 3],
) -> [[T; 3]; OUTPUTS] {
    products_in::<T, true>(grads, plane, positions, padded, starts)
}

#[inline(always)]
fn products_in<T: Element, const FUSED: bool>(
    grads: &[T],
    plane: usize,
    positions: usize,
    padded: &[T],
    starts: [usize; 3],
) -> [[T; 3]; OUTPUTS] {
    let mut lanes = [[[T::zero(); RUN]; 3]; OUTPUTS];
    for at in (0..positions).step_by(RUN) {
        let pixels = starts.map(|start| &padded[start + at..][..RUN]);
        for (output, lanes) in lanes.iter_mut().enumerate() {
            let grads = &grads[output * plane + at..][..RUN];
            for (lanes, pixels) in lanes.iter_mut().zip(pixels) {
                for ((lane, &grad), &pixel) in lanes.iter_mut().zip(grads).zip(pixels) {
                    *lane = multiply_add::<T, FUSED>(grad, pixel, *lane);
                }
            }
        }
    }
    lanes.map(|lanes| lanes.map(|lanes| lanes.into_iter().fold(T::zero(), |sum, lane| sum + lane)))
}

/// `a * b + c`, rounded once where the machine does so in one instruction.
#[inline(always)]
fn multiply_add<T: Element, const FUSED: bool>(a: T, b: T, c: T) -> T {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
