//! The affine code of one group.

use half::bf16;

use crate::bit_pack::{self, RUN};
use crate::dtype::Element;
use crate::noise::Noise;

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

    #[inline(always)]
    pub(crate) fn encode<T: Element>(
        self,
        values: &[T],
        bits: u8,
        noise: &mut Noise,
        target: &mut [u8],
    ) {
        let mut target = target;
        for values in values.chunks(RUN) {
            let offsets = noise.take(values.len());
            let (bytes, rest) = target.split_at_mut(bit_pack::bytes(values.len(), bits));
            target = rest;
            if bits == 8 {
                self.codes(values, bits, offsets, bytes); // they are the bytes themselves
                continue;
            }
            let mut codes = [0; RUN];
            self.codes(values, bits, offsets, &mut codes);
            bit_pack::pack(&codes, values.len(), bits, bytes);
        }
    }

    /// The code of each value.
    #[inline(always)]
    fn codes<T: Element>(self, values: &[T], bits: u8, offsets: &[f32], codes: &mut [u8]) {
        // Added to a small number, it leaves the nearest integer in the lowest bits.
        const INTEGER: f32 = 1.5 * (1 << 23) as f32;
        let levels = levels(bits);
        for ((code, &value), offset) in codes.iter_mut().zip(values).zip(offsets) {
            // By division: it is exact for what the range's own numbers make, and knows no
            // overflow where a scale is tiny. 0 / 0 is taken for 0.
            let place = (single(value) - self.min) / self.scale;
            let place = if place > 0.0 { place } else { 0.0 };
            let place = if place < levels { place } else { levels };
            *code = (place + offset + INTEGER).to_bits() as u8;
        }
    }

    #[inline(always)]
    pub(crate) fn decode<T: Element>(self, packed: &[u8], bits: u8, values: &mut [T]) {
        if bits == 8 {
            return self.values(packed, values);
        }
        let (mut packed, mut codes) = (packed, [0; RUN]);
        for values in values.chunks_mut(RUN) {
            let (bytes, rest) = packed.split_at(bit_pack::bytes(values.len(), bits));
            bit_pack::unpack(bytes, values.len(), bits, &mut codes);
            packed = rest;
            self.values(&codes, values);
        }
    }

    /// The value of each code.
    #[inline(always)]
    fn values<T: Element>(self, codes: &[u8], values: &mut [T]) {
        for (value, &code) in values.iter_mut().zip(codes) {
            *value = self.value(code);
        }
    }

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
