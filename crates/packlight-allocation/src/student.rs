//! Student's t distribution.

/// The probability that Student's t with `degrees` degrees of freedom exceeds `t`.
///
/// It is half the regularised incomplete beta function of `degrees / 2` and `1 / 2` at
/// `degrees / (degrees + t^2)` for positive `t` (Abramowitz and Stegun 26.7.1).
pub fn tail(t: f64, degrees: f64) -> f64 {
    let half = 0.5 * incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + t * t));
    if t >= 0.0 { half } else { 1.0 - half }
}

/// The value that Student's t exceeds with probability `p`, from 0 (exclusive) to 0.5.
pub fn quantile(p: f64, degrees: f64) -> f64 {
    let half = 0.5 * (degrees + 1.0);
    let at_0 = (libm::lgamma(half) - libm::lgamma(0.5 * degrees)).exp()
        / (degrees * std::f64::consts::PI).sqrt();
    let mut t = 0.0;
    // The tail is convex, so Newton's steps from 0 never go too far.
    for _ in 0..100 {
        let density = at_0 * (1.0 + t * t / degrees).powf(-half);
        let step = (tail(t, degrees) - p) / density;
        t += step;
        if step <= 1e-13 * t {
            break;
        }
    }
    t
}

/// Half the width of the 95 % confidence interval of the mean of `n` values with sample standard
/// deviation `sd`; `None` for fewer than two values.
pub fn half_interval(n: u64, sd: f64) -> Option<f64> {
    (n > 1 && sd.is_finite()).then(|| quantile(0.025, (n - 1) as f64) * sd / (n as f64).sqrt())
}

/// The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on this side only; the other follows by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let log_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = (a * x.ln() + b * (-x).ln_1p() - log_beta).exp() / a;
    front / continued_fraction(a, b, x)
}

/// `1 + d1 / (1 + d2 / (1 + ...))` with the coefficients of the incomplete beta function, from the
/// first term on by the modified method of Lentz.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TERMS: u32 = 1000;
    let nonzero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut value, mut c, mut d) = (1.0, 1.0, 0.0);
    for term in 1..=TERMS {
        let m = f64::from(term / 2);
        let coefficient = if term % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / nonzero(1.0 + coefficient * d);
        c = nonzero(1.0 + coefficient / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_closed_forms() {
        for t in [-30.0, -2.0, -0.1, 0.0, 0.3, 1.0, 4.0, 200.0f64] {
            let one = 0.5 - t.atan() / std::f64::consts::PI;
            let two = 0.5 - t / (2.0 * (2.0 + t * t).sqrt());
            assert!((tail(t, 1.0) - one).abs() < 1e-13, "1 degree, {t}");
            assert!((tail(t, 2.0) - two).abs() < 1e-13, "2 degrees, {t}");
        }
        // With many degrees, that of the normal distribution.
        assert!((tail(1.959_964, 1e7) - 0.025).abs() < 1e-7);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, expected) in [
            (1.0, 12.7062),
            (2.0, 4.3027),
            (3.0, 3.1824),
            (10.0, 2.2281),
            (12.0, 2.1788),
            (20.0, 2.0860),
            (60.0, 2.0003),
        ] {
            let found = quantile(0.025, degrees);
            assert!((found - expected).abs() < 1e-4, "{degrees}: {found}");
        }
        assert!((quantile(0.0005, 4.0) - 8.6103).abs() < 1e-4);
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(half_interval(1, f64::NAN), None);
        assert_eq!(half_interval(0, 1.0), None);
        let three = half_interval(3, 0.01).unwrap();
        assert!((three - 4.302_65 * 0.01 / 3f64.sqrt()).abs() < 1e-7);
    }
}
