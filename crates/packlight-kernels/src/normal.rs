//! The tail of the normal distribution in f32, without branches or calls.

use crate::exponential::lifted_exp;

/// `Φ(-z)` and `φ(z)` for z >= 0, both times 2^64 (see [`lifted_exp`]), with a relative error of at
/// most 6e-7 down to the smallest f32.
///
/// `Φ(-z) = φ(z) m(z)` with Mills' ratio m, which falls slowly and smoothly: a polynomial in
/// 1 / (1 + 0.35 z), fitted to m(z) / sqrt(2 π) over z in [0, 14.5] for the least relative error.
/// Both are only as accurate as `e^(-z²/2)`, so the square of the upper half of z's digits is
/// computed exactly, and the remainder is passed to the exponential separately.
#[inline(always)]
pub(crate) fn lifted_tail(z: f32) -> [f32; 2] {
    const INVERSE_ROOT: f32 = 0.398_942_3; // 1 / sqrt(2 π)
    let head = f32::from_bits(z.to_bits() & 0xffff_f000);
    let power = lifted_exp(-0.5 * head * head, 0.5 * (z - head) * (z + head));
    let t = 1.0 / (1.0 + 0.35 * z);
    let mut ratio = -0.029_157_93;
    for coefficient in [
        0.144_031_12,
        -0.255_839_4,
        0.159_320_16,
        -0.023_212_662,
        0.105_552_63,
        0.119_821_26,
        0.139_863_52,
        0.139_621_3,
    ] {
        ratio = ratio * t + coefficient;
    }
    [ratio * t * power, INVERSE_ROOT * power]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_and_density_are_right_to_six_places_of_themselves() {
        for step in 0..=144_000 {
            let z = step as f32 * 1e-4;
            let wide = f64::from(z);
            let density = (-0.5 * wide * wide).exp() / std::f64::consts::TAU.sqrt();
            let tail = 0.5 * libm::erfc(wide * std::f64::consts::FRAC_1_SQRT_2);
            for (found, expected) in lifted_tail(z).into_iter().zip([tail, density]) {
                let error = (f64::from(found) / 2f64.powi(64) / expected - 1.0).abs();
                assert!(error < 6e-7, "{z}: {error:e}");
            }
        }
        assert_eq!(lifted_tail(0.0)[0], 0.5 * 2f32.powi(64));
        assert!(lifted_tail(f32::NAN).iter().all(|value| value.is_nan()));
    }
}
