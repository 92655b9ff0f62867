//! Bias and variance of a compressed gradient over repeated draws.

use packlight_record::Draws;

use super::{distance, norm, ratio};

/// Bias and variance of two or more `draws` of a gradient, relative to the norm of its exact value.
///
/// Chen et al. (ActNN, ICML 2021) report both for a whole network.
pub fn bias_and_variance(exact: &[f64], draws: &[Vec<f64>]) -> Draws {
    let count = draws.len() as f64;
    let mean: Vec<f64> =
        (0..exact.len()).map(|i| draws.iter().map(|draw| draw[i]).sum::<f64>() / count).collect();
    let scatter: f64 = draws.iter().map(|draw| distance(draw, &mean).powi(2)).sum();
    let size = norm(exact);
    Draws {
        count: draws.len() as u64,
        bias: ratio(distance(&mean, exact), size),
        variance: ratio(scatter / (count - 1.0), size * size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_error_is_bias_and_a_symmetric_one_variance() {
        let exact = [3.0, 4.0];
        let constant = bias_and_variance(&exact, &[vec![3.0, 5.0], vec![3.0, 5.0]]);
        assert_eq!((constant.bias, constant.variance), (Some(0.2), Some(0.0)));
        let symmetric = bias_and_variance(&exact, &[vec![3.0, 5.0], vec![3.0, 3.0]]);
        assert_eq!((symmetric.bias, symmetric.variance), (Some(0.0), Some(2.0 / 25.0)));
        assert_eq!(bias_and_variance(&[0.0], &[vec![1.0], vec![2.0]]).bias, None);
    }
}
