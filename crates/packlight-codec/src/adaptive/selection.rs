//! Selects one of several options for each of several tensors within a common budget.

/// The parts that the budget is divided into.
const PARTS: usize = 10_000;
/// The cost in place of one that is not finite.
const WORST: f64 = 1e300;

/// An option for one tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// The bytes that it takes of the budget.
    pub(crate) bytes: f64,
    /// Its cost, to be minimised.
    pub(crate) cost: f64,
}

/// The index of an option for each tensor: the least sum of costs whose bytes are within `budget`.
/// `None` if no options fit.
///
/// Dynamic programming over the budget in 10,000 parts. Bytes are rounded up to whole parts, so the
/// budget holds, and options that fit by less than a part may be missed.
pub(crate) fn select(tensors: &[Vec<Way>], budget: f64) -> Option<Vec<usize>> {
    let parts = |bytes: f64| (bytes / budget * PARTS as f64).ceil() as usize;
    // The least cost of the tensors so far within so many parts, and the last one's way in it.
    let mut least = vec![0.0; PARTS + 1];
    let mut ways = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let mut next = vec![(f64::INFINITY, 0); PARTS + 1];
        for (index, way) in tensor.iter().enumerate() {
            let (own, cost) =
                (parts(way.bytes), if way.cost.is_finite() { way.cost } else { WORST });
            for (next, before) in next.iter_mut().skip(own).zip(&least) {
                if before + cost < next.0 {
                    *next = (before + cost, index);
                }
            }
        }
        least = next.iter().map(|(cost, _)| *cost).collect();
        ways.push(next);
    }
    let mut left = PARTS;
    let mut selected: Vec<usize> = Vec::with_capacity(tensors.len());
    for (tensor, ways) in tensors.iter().zip(&ways).rev() {
        let (cost, index) = ways[left];
        if cost.is_infinite() {
            return None;
        }
        left -= parts(tensor[index].bytes);
        selected.push(index);
    }
    selected.reverse();
    Some(selected)
}

/// A budget in which the smallest option of each tensor surely fits: their bytes, and one part for each
/// tensor, to which its bytes may be rounded up.
pub(crate) fn least_budget(tensors: &[Vec<Way>]) -> f64 {
    let least = |ways: &Vec<Way>| ways.iter().map(|way| way.bytes).fold(f64::MAX, f64::min);
    let free = PARTS.saturating_sub(tensors.len()).max(1);
    tensors.iter().map(least).sum::<f64>() * PARTS as f64 / free as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use packlight_kernels::rng::{Key, Purpose};

    fn sum(tensors: &[Vec<Way>], ways: &[usize], of: impl Fn(&Way) -> f64) -> f64 {
        tensors.iter().zip(ways).map(|(tensor, &way)| of(&tensor[way])).sum()
    }

    /// The least cost of all ways within a budget.
    fn brute_force(tensors: &[Vec<Way>], budget: f64) -> Option<f64> {
        let count: usize = tensors.iter().map(Vec::len).product();
        let all = (0..count).map(|mut code| {
            let way = |tensor: &Vec<Way>| {
                let way = code % tensor.len();
                code /= tensor.len();
                way
            };
            tensors.iter().map(way).collect::<Vec<_>>()
        });
        let fitting = all.filter(|ways| sum(tensors, ways, |way| way.bytes) <= budget);
        fitting.map(|ways| sum(tensors, &ways, |way| way.cost)).min_by(f64::total_cmp)
    }

    #[test]
    fn the_least_budget_suffices_and_hardly_less_does() {
        let mut stream = Key::new(6, Purpose::Sample).stream();
        for count in 1..40 {
            let mut way = || Way { bytes: (1 + stream.below(999)) as f64, cost: 1.0 };
            let tensors: Vec<Vec<Way>> = (0..count).map(|_| vec![way(), way()]).collect();
            let least = least_budget(&tensors);
            assert!(select(&tensors, least).is_some());
            let share = 1.0 - 1e-9 - count as f64 / PARTS as f64; // the bytes themselves
            assert!(select(&tensors, share * least).is_none());
        }
    }

    #[test]
    fn nothing_within_the_budget_costs_less() {
        let mut stream = Key::new(5, Purpose::Sample).stream();
        let mut impossible = 0;
        for case in 0..200 {
            // Bytes in whole parts of the budget, so that rounding up changes none.
            let budget = 10_000.0;
            let mut way = || Way {
                bytes: (6000.0 * stream.normal().abs()).round(),
                cost: stream.normal().exp(),
            };
            let tensors: Vec<Vec<Way>> = (0..4)
                .map(|tensor| (0..1 + (case + tensor) % 6).map(|_| way()).collect())
                .collect();
            let (found, best) = (select(&tensors, budget), brute_force(&tensors, budget));
            assert_eq!(found.is_some(), best.is_some(), "{tensors:?}");
            let (Some(found), Some(best)) = (found, best) else {
                impossible += 1;
                continue;
            };
            assert!(sum(&tensors, &found, |way| way.bytes) <= budget, "{tensors:?}: {found:?}");
            let cost = sum(&tensors, &found, |way| way.cost);
            assert!((cost - best).abs() < 1e-12 * best, "{tensors:?}: {found:?}, {cost} {best}");
        }
        assert!((10..190).contains(&impossible), "{impossible} of 200 impossible");
    }

    #[test]
    fn the_budget_holds_to_the_byte_and_what_is_no_number_is_worst() {
        let of = |bytes, cost| Way { bytes, cost };
        // Three times a third of a part more than a third of the budget.
        let third = vec![of(1.0, 2.0), of(10_001.0 / 3.0, 1.0)];
        assert_eq!(select(&vec![third; 3], 10_000.0).map(|ways| ways.iter().sum()), Some(2));
        assert_eq!(select(&[vec![of(7.0, 1.0)]], 7.0), Some(vec![0]));
        assert_eq!(select(&[vec![of(7.1, 1.0)]], 7.0), None);
        let nan = vec![of(1.0, f64::NAN), of(2.0, 5.0)];
        assert_eq!(select(&[nan.clone(), nan], 3.5).map(|ways| ways.iter().sum()), Some(1));
        assert_eq!(select(&[], 7.0), Some(Vec::new()));
    }
}
