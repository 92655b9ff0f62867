//! Codes of 1 to 8 bits, packed without gaps.
//!
//! A run of codes is split into planes of 8, 4, 2 or 1 bits, by the binary digits of the code's
//! width (a 3-bit code has a plane of 2 bits and a plane of 1). Within a plane, byte `i` of `m`
//! holds the codes `i`, `i + m`, `i + 2m`, and so on, so that whole vectors of codes can be shifted
//! at once.

use std::ops::Range;

/// Codes packed at a time.
pub(crate) const RUN: usize = 256;

const PLANES: [u8; 4] = [8, 4, 2, 1];

/// Bytes that `count` codes of `bits` bits take, in runs of [`RUN`].
#[inline]
pub(crate) fn bytes(count: usize, bits: u8) -> usize {
    let last = count % RUN;
    let of = |count: usize| count / 8 * usize::from(bits);
    of(count - last) + if last.is_multiple_of(8) { of(last) } else { gapped(last, bits) }
}

/// Bytes of a run of which each plane may end within a byte.
#[cold]
fn gapped(count: usize, bits: u8) -> usize {
    planes(bits).map(|(plane, _)| (count * usize::from(plane)).div_ceil(8)).sum()
}

/// Packs the first `count` codes of a run; the others must be 0.
#[inline(always)]
pub(crate) fn pack(codes: &[u8; RUN], count: usize, bits: u8, mut target: &mut [u8]) {
    for (plane, shift) in planes(bits) {
        let (bytes, rest) = target.split_at_mut((count * usize::from(plane)).div_ceil(8));
        match plane {
            8 => bytes.copy_from_slice(&codes[..bytes.len()]),
            4 => pack_plane::<4>(codes, shift, bytes),
            2 => pack_plane::<2>(codes, shift, bytes),
            _ => pack_plane::<1>(codes, shift, bytes),
        }
        target = rest;
    }
}

/// The codes of a run of `count`, followed by any codes.
#[inline(always)]
fn unpack(mut packed: &[u8], count: usize, bits: u8, codes: &mut [u8; RUN]) {
    codes.fill(0);
    for (plane, shift) in planes(bits) {
        let (bytes, rest) = packed.split_at((count * usize::from(plane)).div_ceil(8));
        match plane {
            8 => codes[..bytes.len()].copy_from_slice(bytes),
            4 => unpack_plane::<4>(bytes, shift, codes),
            2 => unpack_plane::<2>(bytes, shift, codes),
            _ => unpack_plane::<1>(bytes, shift, codes),
        }
        packed = rest;
    }
}

/// Gives `take` some of `count` codes, in order, a run or less at a time.
#[inline(always)]
pub(crate) fn read(
    packed: &[u8],
    (count, bits): (usize, u8),
    wanted: Range<usize>,
    mut take: impl FnMut(&[u8]),
) {
    if bits == 8 {
        return take(&packed[wanted]); // they are the bytes themselves
    }
    let mut codes = [0; RUN];
    for start in (wanted.start / RUN * RUN..wanted.end).step_by(RUN) {
        let of_run = RUN.min(count - start);
        let packed = &packed[bytes(start, bits)..][..bytes(of_run, bits)];
        unpack(packed, of_run, bits, &mut codes);
        take(&codes[wanted.start.max(start) - start..wanted.end.min(start + of_run) - start]);
    }
}

/// The planes of codes of this width, with the number of bits below each.
#[inline(always)]
fn planes(bits: u8) -> impl Iterator<Item = (u8, u8)> {
    let mut below = 0;
    PLANES.into_iter().filter(move |plane| bits & plane != 0).map(move |plane| {
        let shift = below;
        below += plane;
        (plane, shift)
    })
}

#[inline(always)]
fn pack_plane<const BITS: u8>(codes: &[u8; RUN], shift: u8, bytes: &mut [u8]) {
    bytes.fill(0);
    for part in 0..8 / BITS {
        let codes = &codes[usize::from(part) * bytes.len()..][..bytes.len()];
        for (byte, code) in bytes.iter_mut().zip(codes) {
            *byte |= (code >> shift & ((1 << BITS) - 1)) << (part * BITS);
        }
    }
}

#[inline(always)]
fn unpack_plane<const BITS: u8>(bytes: &[u8], shift: u8, codes: &mut [u8; RUN]) {
    for part in 0..8 / BITS {
        let codes = &mut codes[usize::from(part) * bytes.len()..][..bytes.len()];
        for (code, byte) in codes.iter_mut().zip(bytes) {
            *code |= (byte >> (part * BITS) & ((1 << BITS) - 1)) << shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_gaps() {
        assert_eq!((bytes(256, 2), bytes(256, 3), bytes(512, 8), bytes(0, 4)), (64, 96, 512, 0));
        assert_eq!((bytes(1, 1), bytes(9, 1), bytes(257, 2)), (1, 2, 65));
    }

    proptest! {
        #[test]
        fn unpacking_gives_back(count in 0usize..=RUN, bits in 1u8..=8, seed in any::<u8>()) {
            let mut codes = [0u8; RUN];
            for (i, code) in codes[..count].iter_mut().enumerate() {
                *code = (i as u8).wrapping_mul(37).wrapping_add(seed) & (255 >> (8 - bits));
            }
            // Nothing is written past the packing.
            let mut packed = vec![0xAA; bytes(count, bits) + 1];
            let (target, behind) = packed.split_at_mut(bytes(count, bits));
            pack(&codes, count, bits, target);
            prop_assert_eq!(behind[0], 0xAA);
            let mut restored = [0xFF; RUN];
            unpack(target, count, bits, &mut restored);
            prop_assert_eq!(&restored[..count], &codes[..count]);
        }
    }
}
