//! The random offsets of stochastic rounding.

use crate::bit_pack::RUN;
use crate::rng::Key;
use crate::simd_dispatch::Vectors;

#[cfg(target_arch = "x86_64")]
mod avx512;

/// Offsets drawn at a time.
const SIZE: usize = 4 * RUN;
/// Generator blocks computed at a time, in vector lanes.
const LANES: usize = 8;
/// Offsets that one generator block makes: two of each of its four numbers.
const PER_BLOCK: usize = 8;

/// How codes are rounded.
#[derive(Debug, Clone, Copy)]
pub enum Rounding {
    /// To the nearest code.
    Nearest,
    /// Up or down at random, so that the mean over the key's numbers is the value itself.
    Stochastic(Key),
}

/// Offsets to add to values before they are rounded to the nearest integer.
///
/// A stochastic offset is an odd multiple of 2^-16 between -1/2 and 1/2, all equally likely. With
/// 15 random bits the probability of each code is accurate to 2^-16, and odd multiples always round
/// an integer to itself.
pub(crate) struct Noise {
    key: Option<Key>,
    block: u64,
    offsets: [f32; SIZE],
    used: usize,
}

impl Noise {
    /// The noise of one task; different tasks draw different parts of the key's stream.
    #[inline(always)]
    pub(crate) fn new(rounding: Rounding, piece: usize) -> Self {
        let (key, used) = match rounding {
            Rounding::Nearest => (None, 0),
            Rounding::Stochastic(key) => (Some(key), SIZE),
        };
        Self { key, block: (piece as u64) << 32, offsets: [0.0; SIZE], used }
    }

    /// The next `count` offsets, at most [`RUN`].
    #[inline(always)]
    pub(crate) fn take(&mut self, count: usize) -> &[f32] {
        if let Some(key) = self.key {
            if self.used + count > SIZE {
                draw(key, self.block, &mut self.offsets);
                self.block += (SIZE / PER_BLOCK) as u64;
                self.used = 0;
            }
            self.used += count;
            return &self.offsets[self.used - count..self.used];
        }
        &self.offsets[..count]
    }
}

/// Draws the offsets of the blocks from `first` on.
#[inline(always)]
#[allow(unsafe_code)]
fn draw(key: Key, first: u64, offsets: &mut [f32; SIZE]) {
    #[cfg(target_arch = "x86_64")]
    if Vectors::of_this_machine() == Vectors::Avx512 {
        // SAFETY: `of_this_machine` detected these instructions.
        return unsafe { avx512::draw(key, first, offsets) };
    }
    let groups = offsets.as_chunks_mut::<{ LANES * PER_BLOCK }>().0;
    for (offsets, first) in groups.iter_mut().zip((first..).step_by(LANES)) {
        let numbers = key.blocks::<LANES>(first);
        let (low, high) = offsets.split_at_mut(LANES * PER_BLOCK / 2);
        // One half after the other: both in one loop would be written element by element.
        for (low, &number) in low.iter_mut().zip(numbers.as_flattened()) {
            *low = offset(number & 0xffff);
        }
        for (high, &number) in high.iter_mut().zip(numbers.as_flattened()) {
            *high = offset(number >> 16);
        }
    }
}

/// Turns 16 bits, of which the last is ignored, into an odd multiple of 2^-16.
#[inline(always)]
fn offset(bits: u32) -> f32 {
    // As the upper bits of a mantissa, they make a number in [1, 2).
    f32::from_bits(0x3f80_0000 | (bits | 1) << 7) - 1.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn offsets_are_uniform_and_differ_by_piece() {
        let draw = |piece| {
            let mut noise = Noise::new(Rounding::Stochastic(Key::new(1, Purpose::Codec)), piece);
            (0..400).flat_map(|_| noise.take(RUN).to_vec()).collect::<Vec<f32>>()
        };
        let offsets = draw(0);
        assert_ne!(offsets, draw(1));
        assert_eq!(offsets, draw(0));
        let n = offsets.len() as f64;
        let mut counts = [0u32; 64];
        for &offset in &offsets {
            assert!(offset > -0.5 && offset < 0.5 && offset * 65536.0 % 2.0 != 0.0);
            counts[((offset + 0.5) * 64.0) as usize] += 1;
        }
        // Chi-squared with 63 degrees of freedom has mean 63 and deviation 11.2.
        let expected = n / 64.0;
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        assert!((chi - 63.0).abs() < 4.0 * 11.2, "{chi}");
        // Neighbours, and the two halves of a number, are not correlated.
        for gap in [1, LANES, LANES * PER_BLOCK / 2] {
            let product: f64 =
                offsets.windows(gap + 1).map(|w| f64::from(w[0] * w[gap])).sum::<f64>() / n;
            assert!(product.abs() < 4.0 / 12.0 / n.sqrt(), "{gap}: {product}");
        }
    }
}
