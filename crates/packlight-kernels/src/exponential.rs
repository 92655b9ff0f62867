//! The exponential in f32, without branches or calls, so that the compiler can vectorise it.

/// `e^x`, accurate to 2 units in the last place; 0 below the normal numbers, at most e^88.3.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    const HIGHEST: f32 = 88.3;
    let result = raise(x.clamp(LOWEST, HIGHEST), 0.0, 0);
    if x < LOWEST { 0.0 } else { result }
}

/// The factor that undoes the scaling of [`lifted_exp`].
pub(crate) const UNLIFT: f32 = 1.0 / (1u128 << LIFT) as f32;
const LIFT: u32 = 64;

/// `2^64 e^(high - low)` for `high` <= 0 and a small `low`; two numbers hold more digits of the
/// exponent than one. A factor that stays scaled until the end of a product keeps its digits even
/// where it is below the normal numbers and the product is not.
#[inline(always)]
pub(crate) fn lifted_exp(high: f32, low: f32) -> f32 {
    /// Far enough for products with anything that matters to vanish; smaller ones would wrap
    /// around.
    const LOWEST: f32 = -130.0;
    raise(if high < LOWEST { LOWEST } else { high }, low, LIFT)
}

/// `2^lift e^(high - low)`: with a whole n and |r| <= ln(2)/2 it is 2^(lift + n) e^r, and a polynomial in
/// r (Cephes' `expf`).
#[inline(always)]
fn raise(high: f32, low: f32, lift: u32) -> f32 {
    /// Added to a small number, it leaves the rounded number in the lowest bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    /// ln(2) in two parts; the first has so few bits that its multiples are exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let rounded = high * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (high - n * LN_2.0) - n * LN_2.1 - low;
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        polynomial = polynomial * r + coefficient;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127 + lift) << 23);
    (polynomial * r * r + r + 1.0) * power
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
    fn lifted_it_has_all_its_digits_below_the_normal_numbers() {
        for step in 0..=120_000 {
            let x = step as f32 * -1e-3;
            let high = (x * 16.0).round() / 16.0;
            let low = high - x;
            let expected = (f64::from(high) - f64::from(low)).exp() * 2f64.powi(64);
            for found in [lifted_exp(high, low), lifted_exp(x, 0.0)] {
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(error < 3e-7, "{x}: {error:e}");
            }
        }
        for far in [-131.0, -1e30, f32::NEG_INFINITY] {
            assert!(lifted_exp(far, 0.0) * UNLIFT == 0.0);
        }
        assert!(lifted_exp(f32::NAN, 0.0).is_nan() && lifted_exp(0.0, f32::NAN).is_nan());
    }
}
