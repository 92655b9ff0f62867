//! Spearman's rank correlation.

/// What a normal variable exceeds in 2.5 % of cases.
const TWO_SIDED: f64 = 1.959_964;

/// The fewest pairs for a correlation with an interval.
const FEWEST: usize = 6;

/// A rank correlation with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Correlation {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) n: usize,
}

/// Spearman's correlation of pairs of finite values; equal values share their mean rank. `None` for
/// fewer than six pairs, or if one side does not vary.
///
/// The interval is that of the Fisher transformation, whose standard deviation is
/// `sqrt(1.06 / (n - 3))` for ranks (Fieller, Hartley and Pearson, Biometrika 44, 1957). The transformation of a
/// perfect correlation is infinite, which would leave no width. So the interval is taken around the nearest value
/// that two ranks changing places would give, `1 - 12 / (n (n^2 - 1))`, and reaches to the correlation itself.
pub(crate) fn spearman(pairs: &[(f64, f64)]) -> Option<Correlation> {
    let n = finite(pairs).count();
    if n < FEWEST {
        return None;
    }
    let value = correlation(pairs)?;
    let half = TWO_SIDED * (1.06 / (n - 3) as f64).sqrt();
    let most = 1.0 - 12.0 / (n * (n * n - 1)) as f64;
    let [low, high] = [-half, half].map(|d| (value.clamp(-most, most).atanh() + d).tanh());
    Some(Correlation { value, low: low.min(value), high: high.max(value), n })
}

/// The same correlation without an interval, for as few as three pairs.
pub(crate) fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let (x, y): (Vec<f64>, Vec<f64>) = finite(pairs).unzip();
    (x.len() > 2).then(|| pearson(&ranks(&x), &ranks(&y)))?
}

/// The same in words, of several `things`: `0.94 (95 % interval 0.53 to 0.99, 6 plans)`.
pub(crate) fn in_words(pairs: &[(f64, f64)], things: &str) -> Option<String> {
    let value = correlation(pairs)?;
    let of = format!("{} {things}", pairs.len());
    let interval = match spearman(pairs) {
        Some(found) => format!("95 % interval {:.2} to {:.2}, {of}", found.low, found.high),
        None => format!("{of}, too few for an interval"),
    };
    Some(format!("{value:.2} ({interval})").replace('-', "−"))
}

fn finite(pairs: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    pairs.iter().copied().filter(|pair| pair.0.is_finite() && pair.1.is_finite())
}

/// The rank of each value, from 1; equal values share the mean of theirs.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + 0.5 * (equal as f64 + 1.0)
    };
    values.iter().map(rank).collect()
}

fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (of_x, of_y) = (mean(x), mean(y));
    let product = |a: &[f64], a_mean: f64, b: &[f64], b_mean: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - a_mean) * (b - b_mean)).sum()
    };
    let spread = (product(x, of_x, x, of_x) * product(y, of_y, y, of_y)).sqrt();
    (spread > 0.0).then(|| (product(x, of_x, y, of_y) / spread).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ties_it_follows_from_the_squared_differences_of_ranks() {
        // 1 - 6 sum d^2 / (n (n^2 - 1)).
        let first = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        let second = [2.0, 1.0, 5.0, 4.0, 3.0, 8.0, 9.0, 6.0, 7.0, 10.0];
        let pairs: Vec<(f64, f64)> = first.into_iter().zip(second).collect();
        let squares: f64 = pairs.iter().map(|(a, b)| (a - b) * (a - b)).sum();
        let found = spearman(&pairs).unwrap();
        assert!((found.value - (1.0 - 6.0 * squares / 990.0)).abs() < 1e-12);
        assert!(found.low < found.value && found.value < found.high && found.n == 10);
    }

    #[test]
    fn order_alone_counts_and_ties_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 7.0]), [2.5, 1.0, 2.5, 4.0]);
        let falling: Vec<(f64, f64)> =
            (1..=8).map(|i| (f64::from(i).exp(), -f64::from(i))).collect();
        let found = spearman(&falling).unwrap();
        assert_eq!((found.value, found.low), (-1.0, -1.0));
        // tanh(-atanh(1 - 12 / 504) + 1.959964 sqrt(1.06 / 5)).
        assert!((found.high + 0.863510570).abs() < 1e-8, "{}", found.high);
        let rising: Vec<(f64, f64)> = falling.iter().map(|(x, y)| (*x, -y)).collect();
        let found = spearman(&rising).unwrap();
        assert!(found.high == 1.0 && (found.low - 0.863510570).abs() < 1e-8, "{}", found.low);
    }

    #[test]
    fn few_pairs_and_constants_have_none() {
        let pairs = [(1.0, 2.0), (2.0, 1.0), (3.0, 5.0), (4.0, 4.0), (5.0, 3.0)];
        assert_eq!(spearman(&pairs), None);
        // Squared differences of ranks: 1 + 1 + 4 + 0 + 4.
        assert!((correlation(&pairs).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(correlation(&pairs[..2]), None);
        assert_eq!(spearman(&[(1.0, 2.0); 8]), None);
        let with_nan: Vec<(f64, f64)> =
            (0..6).map(|i| (f64::from(i), if i == 3 { f64::NAN } else { 1.0 })).collect();
        assert_eq!(spearman(&with_nan), None);
    }

    #[test]
    fn the_interval_of_independent_values_covers_zero_as_often_as_it_should() {
        let mut state = 7u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let covered = (0..4000).filter(|_| {
            let pairs: Vec<(f64, f64)> = (0..20).map(|_| (uniform(), uniform())).collect();
            spearman(&pairs).is_some_and(|c| c.low <= 0.0 && 0.0 <= c.high)
        });
        let share = covered.count() as f64 / 4000.0;
        assert!((0.935..=0.965).contains(&share), "{share}");
    }
}
