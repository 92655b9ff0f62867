//! The 95 % confidence interval of a mean over a few seeds, by Student's t.

/// The 97.5 % quantile of Student's t with 1 to 10 degrees of freedom.
const TABLE: [f64; 10] =
    [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];

/// Half the width of the 95 % confidence interval of the mean of `n` values with sample standard
/// deviation `sd`; `None` for fewer than two values.
pub(crate) fn half_interval(n: u64, sd: f64) -> Option<f64> {
    (n > 1 && sd.is_finite()).then(|| quantile(n - 1) * sd / (n as f64).sqrt())
}

/// The 97.5 % quantile of Student's t. Beyond the table: the first terms of the expansion around
/// the normal quantile (Abramowitz and Stegun 26.7.5), which is accurate to four digits there.
fn quantile(degrees: u64) -> f64 {
    if let Some(value) = TABLE.get(degrees.saturating_sub(1) as usize) {
        return *value;
    }
    let (z, v) = (1.959_964f64, degrees as f64);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    z + first / v + second / (v * v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, expected) in
            [(1, 12.706), (2, 4.303), (10, 2.228), (12, 2.179), (20, 2.086), (60, 2.000)]
        {
            assert!(
                (quantile(degrees) - expected).abs() < 2e-3,
                "{degrees}: {}",
                quantile(degrees)
            );
        }
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(half_interval(1, f64::NAN), None);
        assert_eq!(half_interval(0, 1.0), None);
        let three = half_interval(3, 0.01).unwrap();
        assert!((three - 4.3027 * 0.01 / 3f64.sqrt()).abs() < 1e-12);
    }
}
