//! The affine code of one group.

use half::bf16;

use crate::bit_pack::{self, RUN};
use crate::dtype::Element;
use crate::noise::Noise;
use crate::par_vec::Blank;

/// The range of a group, whose codes have the values `min + code * scale`.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    pub(crate) min: f32,
    pub(crate) scale: f32,
}

impl Affine {
    /// From `low` to at least `high`, both numbers in bf16.
    #[inline(always)]
    pub(crate) fn covering(low: f32, high: f32, bits: u8) -> Self {
        let min = bf16_below(low);
        let scale = bf16_above((high - min) / levels(bits));
        match min.is_finite() && scale.is_finite() {
            true => Self { min, scale },
            false => Self { min: f32::NAN, scale: f32::NAN },
        }
    }

    #[inline(always)]
    pub(crate) fn narrow(self) -> [bf16; 2] {
        [self.min, self.scale].map(|value| bf16::from_bits((value.to_bits() >> 16) as u16))
    }

    /// Writes the codes of a group.
    #[inline(always)]
    pub(crate) fn encode<T: Element>(
        self,
        values: &[T],
        bits: u8,
        noise: &mut Noise,
        target: &mut Blank<'_, u8>,
    ) {
        let levels = levels(bits);
        for values in values.chunks(RUN) {
            let offsets = noise.take(values.len());
            if bits == 8 {
                // They are the bytes themselves.
                target.write_from_both(
                    values,
                    offsets,
                    #[inline(always)]
                    |value, offset| self.code(value, offset, levels),
                );
                continue;
            }
            let mut codes = [0; RUN];
            for ((code, &value), &offset) in codes.iter_mut().zip(values).zip(offsets) {
                *code = self.code(value, offset, levels);
            }
            let bytes = target.zeros(bit_pack::bytes(values.len(), bits));
            bit_pack::pack(&codes, values.len(), bits, bytes);
        }
    }

    #[inline(always)]
    fn code<T: Element>(self, value: T, offset: f32, levels: f32) -> u8 {
        // Added to a small number, it leaves the nearest integer in the lowest bits.
        const INTEGER: f32 = 1.5 * (1 << 23) as f32;
        // By division: it is exact for what the range's own numbers make, and knows no overflow where a scale is tiny.
        // 0 / 0 is taken for 0.
        let place = (single(value) - self.min) / self.scale;
        let place = if place > 0.0 { place } else { 0.0 };
        let place = if place < levels { place } else { levels };
        (place + offset + INTEGER).to_bits() as u8
    }

    /// The value of a code.
    #[inline(always)]
    pub(crate) fn value<T: Element>(self, code: u8) -> T {
        T::narrow(f64::from(f32::from(code) * self.scale + self.min))
    }
}

/// The largest code of this many bits.
#[inline(always)]
pub(crate) fn levels(bits: u8) -> f32 {
    ((1u16 << bits) - 1).into()
}

#[inline(always)]
pub(super) fn single<T: Element>(value: T) -> f32 {
    value.wide() as f32
}

/// Rounds down to bf16.
#[inline(always)]
fn bf16_below(value: f32) -> f32 {
    let cut = f32::from_bits(value.to_bits() & 0xffff_0000);
    if cut > value { f32::from_bits(cut.to_bits().wrapping_add(0x1_0000)) } else { cut }
}

/// Rounds up to bf16.
#[inline(always)]
fn bf16_above(value: f32) -> f32 {
    -bf16_below(-value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_rounded_outwards() {
        for value in [0.0, 1.0, 0.3, -0.3, 1e-40, -1e-40, 3e38, -1e-3] {
            let (below, above) = (bf16_below(value), bf16_above(value));
            assert!(below <= value && value <= above, "{below} {value} {above}");
            assert!(above - below <= value.abs() / 64.0 + 1e-40);
            assert_eq!(f32::from(Affine { min: below, scale: above }.narrow()[1]), above);
        }
    }
}
