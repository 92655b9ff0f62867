//! The distribution of a quantity over samples or tokens.

use packlight_record::Distribution;

/// Mean, extremes and quantiles of finite `values`, interpolated linearly as in NumPy's default;
/// `None` if there are none.
pub fn distribution(values: &[f64]) -> Option<Distribution> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let count = sorted.len() as f64;
    let quantile = |q: f64| {
        let at = q * (count - 1.0);
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + (above - below) * at.fract()
    };
    Some(Distribution {
        count: sorted.len() as u64,
        mean: values.iter().sum::<f64>() / count,
        min,
        p05: quantile(0.05),
        p25: quantile(0.25),
        median: quantile(0.5),
        p75: quantile(0.75),
        p95: quantile(0.95),
        max,
        nonpositive: values.iter().filter(|&&v| v <= 0.0).count() as f64 / count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_five_values() {
        let s = distribution(&[4.0, 0.0, 2.0, -1.0, 5.0]).unwrap();
        assert_eq!((s.count, s.mean, s.min, s.max), (5, 2.0, -1.0, 5.0));
        assert_eq!((s.p25, s.median, s.p75), (0.0, 2.0, 4.0));
        assert!((s.p05 + 0.8).abs() < 1e-12 && (s.p95 - 4.8).abs() < 1e-12);
        assert_eq!(s.nonpositive, 0.4);
    }

    #[test]
    fn of_one_value_and_of_none() {
        let s = distribution(&[0.5]).unwrap();
        assert_eq!((s.p05, s.median, s.p95, s.nonpositive), (0.5, 0.5, 0.5, 0.0));
        assert_eq!(distribution(&[]), None);
    }
}
