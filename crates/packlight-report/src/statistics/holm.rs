//! Holm's correction for several tests on one page (Holm, Scandinavian Journal of Statistics 6,
//! 1979).

/// The p-values adjusted for their number, in the same order. Rejecting those at or below 5 % rejects
/// any true hypothesis with a probability of at most 5 %, however the tests depend on each other.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(p[i] * (p.len() - rank) as f64).min(1.0);
        adjusted[i] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_counts_for_all_and_later_ones_for_fewer() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            let pairs = found.iter().zip(expected);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        close(holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]);
        close(holm(&[0.9, 0.6]), &[1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
