//! Numbers of low-rank factors, and the ranks that published bytes of them imply.

/// The numbers of two factors of this rank for a tensor, of which the first axis is one side.
pub(super) fn svd_numbers(shape: &[usize], rank: f64) -> f64 {
    let samples = shape.first().copied().unwrap_or(1).max(1);
    rank * (samples + shape.iter().product::<usize>() / samples) as f64
}

/// The numbers of a core of these ranks, and of a factor for each axis.
pub(super) fn hosvd_numbers(shape: &[usize], ranks: &[f64]) -> f64 {
    let factors = shape.iter().zip(ranks).map(|(&axis, rank)| axis as f64 * rank);
    ranks.iter().product::<f64>() + factors.sum::<f64>()
}

/// A share of each axis, at least 1.
fn ranks(shape: &[usize], share: f64) -> Vec<f64> {
    shape.iter().map(|&axis| (share * axis as f64).max(1.0)).collect()
}

/// The rank K, the same for all layers, for which K (B + CHW) numbers for each layer are `numbers`.
pub(super) fn of_svd(shapes: &[&[usize]], numbers: f64) -> String {
    let rank = numbers / shapes.iter().map(|shape| svd_numbers(shape, 1.0)).sum::<f64>();
    let full = shapes.first().and_then(|shape| shape.first()).unwrap_or(&0);
    format!("Mean rank {rank:.1} of {full}.")
}

/// The share of each axis, the same for all, for which a core and a factor for each axis are `numbers`,
/// and the mean ranks that follow.
pub(super) fn of_hosvd(shapes: &[&[usize]], numbers: f64) -> String {
    let of_one = |shape: &&[usize], share: f64| hosvd_numbers(shape, &ranks(shape, share));
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match shapes.iter().map(|shape| of_one(shape, middle)).sum::<f64>() < numbers {
            true => low = middle,
            false => high = middle,
        }
    }
    let axes = shapes.first().map_or(0, |shape| shape.len());
    let mean = |axis: usize| {
        let of_axis = shapes.iter().map(|shape| ranks(shape, high)[axis]);
        format!("{:.1}", of_axis.sum::<f64>() / shapes.len() as f64)
    };
    let means: Vec<String> = (0..axes).map(mean).collect();
    format!("Each axis at {:.1} %: mean ranks {}.", 100.0 * high, means.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_layers_of_7_88_mib_imply_a_rank_of_41() {
        let shape: &[usize] = &[64, 512, 7, 7];
        let numbers = 7.88 * (1 << 18) as f64;
        assert_eq!(of_svd(&[shape, shape], numbers), "Mean rank 41.1 of 64.");
    }

    #[test]
    fn ranks_of_a_core_come_back() {
        let shape: &[usize] = &[64, 512, 8, 8];
        let numbers = 32.0 * 256.0 * 16.0 + 64.0 * 32.0 + 512.0 * 256.0 + 2.0 * 8.0 * 4.0;
        assert_eq!(
            of_hosvd(&[shape], numbers),
            "Each axis at 50.0 %: mean ranks 32.0, 256.0, 4.0, 4.0."
        );
    }
}
