//! The exponential and the error function in f32, without branches or calls, so that the compiler
//! can take several elements at a time.

/// `x` as 2^n e^r with a whole n and |r| <= ln(2)/2, and a polynomial in r (Cephes' `expf`); right
/// to 2 units in the last place, 0 below the normal numbers and e^88.3 at most.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    const HIGHEST: f32 = 88.3;
    /// Added to a small number, leaves it rounded in the last bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    /// ln(2) in two parts, of which the first has so few bits that its multiples are exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let bounded = x.clamp(LOWEST, HIGHEST);
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (bounded - n * LN_2.0) - n * LN_2.1;
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        polynomial = polynomial * r + coefficient;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    let result = (polynomial * r * r + r + 1.0) * power;
    if x < LOWEST { 0.0 } else { result }
}

/// A ratio of polynomials in `x`, as Eigen has it; within 5e-7 of the error function.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut above = -2.726_142_3e-10;
    for coefficient in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        above = above * square + coefficient;
    }
    let mut below = -1.456_607_2e-5;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        below = below * square + coefficient;
    }
    x * above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_its_last_places() {
        for step in -87_000..=88_000 {
            let x = step as f32 * 1e-3;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) / expected - 1.0).abs();
            assert!(error < 2.4e-7, "{x}: {error:e}");
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(-1e30)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && exp(1e30) > 1e38);
    }

    #[test]
    fn the_error_function_is_right_to_six_places() {
        for step in -60_000..=60_000 {
            let x = step as f32 * 1e-4;
            let error = (f64::from(erf(x)) - libm::erf(f64::from(x))).abs();
            assert!(error < 5e-7, "{x}: {error:e}");
        }
        assert!(erf(f32::NAN).is_nan());
    }
}
