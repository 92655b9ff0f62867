//! How many seeds a test needs.

use std::f64::consts::SQRT_2;

use super::paired::FEWEST;
use super::student::quantile;

/// The most seeds that are looked for.
pub(crate) const MOST: u64 = 1000;

/// The fewest seeds with which both questions about a plan would be answered with probability `power`:
/// a true loss of `margin` is found by the paired t-test, and a plan without a difference is found
/// equivalent within `margin`, each at `level`. `sd` is the standard deviation of the paired
/// differences. `None` if [`MOST`] are not enough.
pub(crate) fn seeds(sd: f64, margin: f64, level: f64, power: f64) -> Option<u64> {
    let effect = margin / sd;
    fewest(effect, |n| {
        difference(n, effect, level) >= power && equivalence(n, effect, level) >= power
    })
}

/// The fewest seeds with which the paired t-test at `level` would find a difference of this `size` with
/// probability `power`; `None` if [`MOST`] are not enough.
pub(crate) fn seeds_for_difference(sd: f64, size: f64, level: f64, power: f64) -> Option<u64> {
    let effect = size / sd;
    fewest(effect, |n| difference(n, effect, level) >= power)
}

/// The fewest seeds that are `enough`.
fn fewest(effect: f64, enough: impl Fn(u64) -> bool) -> Option<u64> {
    if effect.is_nan() || !enough(MOST) {
        return None;
    }
    let (mut few, mut many) = (FEWEST - 1, MOST);
    while many - few > 1 {
        let middle = few.midpoint(many);
        if enough(middle) { many = middle } else { few = middle }
    }
    Some(many)
}

/// The probability that the two-sided paired t-test at `level` finds a difference of `effect` standard
/// deviations, in its direction, with `n` seeds.
fn difference(n: u64, effect: f64, level: f64) -> f64 {
    let t = quantile(level / 2.0, (n - 1) as f64);
    over_sample_sds(n, |sd| normal(effect * (n as f64).sqrt() - t * sd))
}

/// The probability that two one-sided paired t-tests at `level` show a plan without a difference to be
/// equivalent within `effect` standard deviations, with `n` seeds.
fn equivalence(n: u64, effect: f64, level: f64) -> f64 {
    let t = quantile(level, (n - 1) as f64);
    over_sample_sds(n, |sd| (2.0 * normal(effect * (n as f64).sqrt() - t * sd) - 1.0).max(0.0))
}

/// The mean of `f` over the sample standard deviations of `n` normal values whose standard deviation
/// is 1, by Simpson's rule. Sample mean and standard deviation are independent, so `f` may be a
/// probability over the means.
fn over_sample_sds(n: u64, f: impl Fn(f64) -> f64) -> f64 {
    const PIECES: u32 = 400;
    let degrees = (n - 1) as f64;
    let half = 0.5 * degrees;
    let scale = std::f64::consts::LN_2 + half * half.ln() - libm::lgamma(half);
    let density = |sd: f64| match sd > 0.0 {
        true => (scale + (degrees - 1.0) * sd.ln() - half * sd * sd).exp(),
        false => 0.0,
    };
    let reach = 8.0 / degrees.sqrt();
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let step = (high - low) / f64::from(PIECES);
    let weight = |i: u32| match i {
        0 | PIECES => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let at = |i: u32| low + f64::from(i) * step;
    let sum: f64 = (0..=PIECES).map(|i| weight(i) * density(at(i)) * f(at(i))).sum();
    sum * step / 3.0
}

/// The distribution function of the standard normal distribution.
fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_literature() {
        for n in [3, 5, 20, 500] {
            let all = over_sample_sds(n, |_| 1.0);
            let second = over_sample_sds(n, |sd| sd * sd);
            assert!((all - 1.0).abs() < 1e-6 && (second - 1.0).abs() < 1e-6, "{n}: {all}");
        }
        // Cohen (1988), paired t-test, 5 % on two sides: 34 pairs for d = 0.5 and a power of 80 %.
        assert!(difference(33, 0.5, 0.05) < 0.8 && difference(34, 0.5, 0.05) >= 0.8);
        // Without a difference it finds one in its direction half as often as the level allows.
        assert!((difference(7, 0.0, 0.05) - 0.025).abs() < 1e-6);
        // For large n: (z(level) + z(power / 2 + 1 / 2))^2 / effect^2, here (1.645 + 1.282)^2 / 0.01.
        assert!(equivalence(850, 0.1, 0.05) < 0.8 && equivalence(865, 0.1, 0.05) > 0.8);
    }

    #[test]
    fn more_spread_and_more_plans_need_more_seeds() {
        let of = |sd, plans: f64| seeds(sd, 0.01, 0.05 / plans, 0.8);
        assert_eq!(of(0.0001, 1.0), Some(FEWEST));
        let (one, wide, many) = (of(0.01, 1.0), of(0.02, 1.0), of(0.01, 20.0));
        assert!(one < wide && one < many, "{one:?} {wide:?} {many:?}");
        assert_eq!((of(1.0, 1.0), of(f64::NAN, 1.0)), (None, None));
    }
}
