//! The offsets of [`super::draw`] on 512-bit vectors.
//!
//! A round of the generator waits for the one before it. Four groups of blocks are computed in turn, so that the
//! processor always has another one to go on with; the compiler keeps to one group at a time, which takes 1.7 times
//! as long.

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_add_ps, _mm512_castsi256_si512, _mm512_castsi512_ps,
    _mm512_cvtepi64_epi32, _mm512_inserti64x4, _mm512_mul_epu32, _mm512_set_epi64,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_ps, _mm512_setzero_si512, _mm512_slli_epi32,
    _mm512_srli_epi32, _mm512_srli_epi64, _mm512_storeu_ps, _mm512_ternarylogic_epi32,
    _mm512_ternarylogic_epi64,
};

use super::{LANES, PER_BLOCK, SIZE};
use crate::rng::{Key, MULTIPLIERS, ROUNDS, WEYL};

/// Groups of [`LANES`] blocks that are computed in turn.
const GROUPS: usize = 4;
/// Numbers of a vector of 32 bits.
const WIDTH: usize = 16;
/// The truth tables of `a ^ b ^ c` and of `a & c | b`.
const XOR: i32 = 0x96;
const AND_OR: i32 = 0xec;

/// Draws the offsets of the blocks from `first` on.
#[target_feature(enable = "avx512f")]
pub(super) fn draw(key: Key, first: u64, offsets: &mut [f32; SIZE]) {
    let parts = offsets.as_chunks_mut::<{ GROUPS * LANES * PER_BLOCK }>().0;
    for (offsets, first) in parts.iter_mut().zip((first..).step_by(GROUPS * LANES)) {
        let groups = offsets.as_chunks_mut::<{ LANES * PER_BLOCK }>().0;
        for (offsets, words) in groups.iter_mut().zip(blocks(key, first)) {
            let (low, high) = offsets.split_at_mut(LANES * PER_BLOCK / 2);
            let halves = low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0);
            for ((low, high), words) in halves.zip(words.as_chunks::<2>().0) {
                let numbers = side_by_side(words);
                store(low, _mm512_slli_epi32::<7>(numbers));
                store(high, _mm512_srli_epi32::<9>(numbers));
            }
        }
    }
}

/// The four numbers of each of some blocks, in the lower halves of lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn blocks(key: Key, first: u64) -> [[__m512i; 4]; GROUPS] {
    let [mut key, step] = key.words().map(halves);
    let all = |word: u32| _mm512_set1_epi64(word.into());
    let multipliers = MULTIPLIERS.map(|multiplier| _mm512_set1_epi64(multiplier as i64));
    let lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    let mut groups = [[_mm512_setzero_si512(); 4]; GROUPS];
    for (words, first) in groups.iter_mut().zip((first..).step_by(LANES)) {
        let counter = _mm512_add_epi64(_mm512_set1_epi64(first as i64), lanes);
        *words = [counter, _mm512_srli_epi64::<32>(counter), all(step[0]), all(step[1])];
    }
    for _ in 0..ROUNDS {
        for words in &mut groups {
            let first = _mm512_mul_epu32(words[0], multipliers[0]);
            let second = _mm512_mul_epu32(words[2], multipliers[1]);
            let mix = |product, word, key| {
                _mm512_ternarylogic_epi64::<XOR>(_mm512_srli_epi64::<32>(product), word, all(key))
            };
            *words = [mix(second, words[1], key[0]), second, mix(first, words[3], key[1]), first];
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    groups
}

/// The lower and the upper half of a word.
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// The numbers in the lower halves of the lanes of two vectors, one after the other.
#[inline]
#[target_feature(enable = "avx512f")]
fn side_by_side(&[first, second]: &[__m512i; 2]) -> __m512i {
    let first = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(first));
    _mm512_inserti64x4::<1>(first, _mm512_cvtepi64_epi32(second))
}

/// Writes the offsets of 16 random bits each, given in the upper bits of a mantissa, as `super::offset` makes them.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(offsets: &mut [f32; WIDTH], bits: __m512i) {
    let (random, always) = (_mm512_set1_epi32(0x7f_ff80), _mm512_set1_epi32(0x3f80_0080));
    let number = _mm512_ternarylogic_epi32::<AND_OR>(bits, always, random);
    let offset = _mm512_add_ps(_mm512_castsi512_ps(number), _mm512_set1_ps(-1.5));
    // SAFETY: the array has as many elements as the vector.
    unsafe { _mm512_storeu_ps(offsets.as_mut_ptr(), offset) };
}
