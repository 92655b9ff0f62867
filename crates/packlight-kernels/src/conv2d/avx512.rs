//! The inner loops of [`super::simd`] for f32 on 512-bit vectors, which the compiler does not
//! vectorise by itself.
//!
//! [`correlate`] and [`accumulate`] hold 16 vectors of sums in registers, enough to hide the latency of two
//! fused multiply-adds per cycle, and load 10 operands for every 16 of them.

#![allow(unsafe_code)]
// Zipped iterators make the compiler load all operands first, for which there are no registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd,
    _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::simd::{CHANNELS, RUN};

/// Runs per iteration of [`correlate`].
const RUNS: usize = 2;
/// Weights per iteration of [`accumulate`].
const WEIGHTS: usize = 8;

/// See [`super::simd::correlate`], for `B` blocks.
#[target_feature(enable = "avx512f")]
pub(super) fn correlate<const B: usize, const APART: usize>(
    weights: [&[[f32; CHANNELS]]; B],
    padded: &[f32],
    offsets: &[usize],
    runs: &[usize],
    sums: [&mut [[[f32; CHANNELS]; RUN]]; B],
) {
    check_reach(padded, offsets, runs, APART);
    assert!(weights.iter().all(|weights| weights.len() == offsets.len()), "a weight per offset");
    let mut sums = sums.map(|sums| sums.as_chunks_mut::<RUNS>().0.iter_mut());
    for &runs in runs.as_chunks::<RUNS>().0 {
        let mut held = [[[_mm512_setzero_ps(); B]; RUN]; RUNS];
        for (k, &offset) in offsets.iter().enumerate() {
            // SAFETY: each block has as many weights as there are offsets.
            let weights = weights.map(|weights| load(unsafe { weights.get_unchecked(k) }));
            for (r, run) in runs.into_iter().enumerate() {
                for q in 0..RUN {
                    // SAFETY: `check_reach` has checked the last element of every run.
                    let pixel = unsafe { *padded.get_unchecked(run + offset + q * APART) };
                    let pixel = _mm512_set1_ps(pixel);
                    for b in 0..B {
                        held[r][q][b] = _mm512_fmadd_ps(pixel, weights[b], held[r][q][b]);
                    }
                }
            }
        }
        for (b, sums) in sums.iter_mut().enumerate() {
            let sums = sums.next().into_iter().flatten().flatten();
            sums.zip(held.as_flattened()).for_each(|(sum, held)| store(sum, held[b]));
        }
    }
}

/// See [`super::simd::accumulate`], for `B` blocks.
#[target_feature(enable = "avx512f")]
pub(super) fn accumulate<const B: usize>(
    grads: &[[[f32; CHANNELS]; RUN]],
    padded: &[f32],
    offsets: &[usize],
    runs: &[usize],
    sums: [&mut [[f32; CHANNELS]]; B],
) {
    check_reach(padded, offsets, runs, 1);
    let mut sums = sums.map(|sums| sums.as_chunks_mut::<WEIGHTS>().0.iter_mut());
    for &offsets in offsets.as_chunks::<WEIGHTS>().0 {
        let mut held = [[_mm512_setzero_ps(); B]; WEIGHTS];
        for (&run, grads) in runs.iter().zip(grads.as_chunks::<B>().0) {
            for q in 0..RUN {
                let grads = grads.each_ref().map(|grads| load(&grads[q]));
                for k in 0..WEIGHTS {
                    // SAFETY: `check_reach` has checked the last element of every run.
                    let pixel = unsafe { *padded.get_unchecked(run + offsets[k] + q) };
                    let pixel = _mm512_set1_ps(pixel);
                    for b in 0..B {
                        held[k][b] = _mm512_fmadd_ps(pixel, grads[b], held[k][b]);
                    }
                }
            }
        }
        for (b, sums) in sums.iter_mut().enumerate() {
            for (sum, held) in sums.next().into_iter().flatten().zip(&held) {
                store(sum, _mm512_add_ps(load(sum), held[b]));
            }
        }
    }
}

/// Interleaves 16 rows, 16 cells at a time: channel `c` of cell `q` of `runs[r * apart]` becomes
/// `rows[c * distance + r * RUN + q]`, for the first `count` runs.
#[target_feature(enable = "avx512f")]
pub(super) fn side_by_side(
    rows: &[f32],
    distance: usize,
    runs: &mut [[[f32; CHANNELS]; RUN]],
    count: usize,
    apart: usize,
) {
    let last = distance.checked_mul(CHANNELS - 1);
    let reach = last.and_then(|last| last.checked_add(count * RUN));
    assert!(reach.is_some_and(|end| end <= rows.len()), "a row ends beyond the buffer");
    assert!(count.is_multiple_of(4), "whole squares");
    for first in (0..count).step_by(4) {
        // Quarter `l` of `quarters[g][k]` has cell `4 l + k` of the rows from `4 g` on.
        let mut quarters = [[_mm512_setzero_ps(); 4]; 4];
        for g in 0..4 {
            for k in 0..4 {
                let at = (4 * g + k) * distance + first * RUN;
                // SAFETY: the longest reach was checked above, and the load needs no alignment.
                quarters[g][k] = unsafe { _mm512_loadu_ps(rows.as_ptr().add(at)) };
            }
            quarters[g] = transpose_quarters(quarters[g]);
        }
        for k in 0..RUN {
            let [a, b, c, d] = [quarters[0][k], quarters[1][k], quarters[2][k], quarters[3][k]];
            let mut put = |run: usize, cell| store(&mut runs[(first + run) * apart][k], cell);
            let (ab, cd) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d));
            put(0, _mm512_shuffle_f32x4::<0x88>(ab, cd));
            put(1, _mm512_shuffle_f32x4::<0xdd>(ab, cd));
            let (ab, cd) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d));
            put(2, _mm512_shuffle_f32x4::<0x88>(ab, cd));
            put(3, _mm512_shuffle_f32x4::<0xdd>(ab, cd));
        }
    }
}

/// Transposes the 4 x 4 elements of each 128 bits of four rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_quarters([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
    let ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    let cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
    let cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    [
        _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low)),
        _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high)),
    ]
}

/// Panics unless every run, its pixels `apart`, lies within `padded` at every offset.
fn check_reach(padded: &[f32], offsets: &[usize], runs: &[usize], apart: usize) {
    if let (Some(offset), Some(run)) = (offsets.iter().max(), runs.iter().max()) {
        let reach = (RUN - 1) * apart + 1;
        let end = offset.checked_add(*run).and_then(|start| start.checked_add(reach));
        assert!(end.is_some_and(|end| end <= padded.len()), "a run reaches beyond the buffer");
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f32; CHANNELS]) -> __m512 {
    // SAFETY: 16 elements are there, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(values: &mut [f32; CHANNELS], vector: __m512) {
    // SAFETY: 16 elements are there, and the store needs no alignment.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), vector) }
}
