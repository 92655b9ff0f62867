//! A median and what it could be.

/// A median with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Median {
    pub(crate) value: f64,
    /// Distribution-free: two order statistics, between which the true median lies with a probability
    /// of at least 95 %. `None` for fewer than six values.
    pub(crate) interval: Option<(f64, f64)>,
}

/// The median of the finite values; `None` if there are none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<Median> {
    let mut sorted: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let last = n.checked_sub(1)?;
    let value = 0.5 * (sorted[last / 2] + sorted[n / 2]);
    let interval = outer(n).map(|outer| (sorted[outer], sorted[last - outer]));
    Some(Median { value, interval })
}

/// How many of `n` sorted values lie outside the interval on each side: the most that a binomial
/// variable of `n` fair trials stays at or below with a probability of at most 2.5 %.
fn outer(n: usize) -> Option<usize> {
    let mut probability = 0.5f64.powi(i32::try_from(n).ok()?);
    let (mut below, mut outer) = (0.0, None);
    for k in 0..n {
        below += probability;
        if below > 0.025 {
            break;
        }
        outer = Some(k);
        probability *= (n - k) as f64 / (k + 1) as f64;
    }
    outer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_one_of_the_tables() {
        // Conover, Practical Nonparametric Statistics: from the 1st, 2nd, 6th and 18th value.
        for (n, expected) in [(5, None), (6, Some(0)), (10, Some(1)), (20, Some(5)), (50, Some(17))]
        {
            assert_eq!(outer(n), expected, "{n}");
        }
        let of = |n: u32| median((0..n).map(f64::from)).unwrap();
        assert_eq!(of(20), Median { value: 9.5, interval: Some((5.0, 14.0)) });
        assert_eq!(of(3), Median { value: 1.0, interval: None });
        assert_eq!(median([f64::NAN].into_iter()), None);
    }
}
