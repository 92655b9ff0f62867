//! Bias and variance of a compressed gradient over repeated draws.

use packlight_record::Draws;

use super::{distance, dot, norm, ratio};

/// Repeated draws of a gradient, of which sums are kept, whatever their number.
#[derive(Debug, Clone, Default)]
pub struct Scatter {
    /// How many draws follow the first one.
    more: u64,
    /// The sum of their differences from it, and that of the squares of these. Of draws that are alike both are
    /// exactly 0.
    sum: Vec<f64>,
    squares: f64,
}

impl Scatter {
    /// Adds a draw after the `first` one.
    pub fn add(&mut self, first: &[f64], draw: &[f64]) {
        self.sum.resize(first.len(), 0.0);
        self.more += 1;
        self.squares += distance(draw, first).powi(2);
        self.sum.iter_mut().zip(draw.iter().zip(first)).for_each(|(sum, (h, f))| *sum += h - f);
    }

    /// Bias and variance of all draws, relative to the norm of the exact value; `None` of a single draw.
    ///
    /// Chen et al. (ActNN, ICML 2021) report both for a whole network.
    pub fn bias_and_variance(&self, exact: &[f64], first: &[f64]) -> Option<Draws> {
        if self.more == 0 {
            return None;
        }
        let count = (self.more + 1) as f64;
        let mean: Vec<f64> = first.iter().zip(&self.sum).map(|(f, sum)| f + sum / count).collect();
        let scatter = (self.squares - dot(&self.sum, &self.sum) / count).max(0.0);
        let size = norm(exact);
        Some(Draws {
            count: self.more + 1,
            bias: ratio(distance(&mean, exact), size),
            variance: ratio(scatter / (count - 1.0), size * size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(exact: &[f64], draws: &[&[f64]]) -> Option<Draws> {
        let mut scatter = Scatter::default();
        draws[1..].iter().for_each(|draw| scatter.add(draws[0], draw));
        scatter.bias_and_variance(exact, draws[0])
    }

    #[test]
    fn a_constant_error_is_bias_and_a_symmetric_one_variance() {
        let exact = [3.0, 4.0];
        let constant = of(&exact, &[&[3.0, 5.0], &[3.0, 5.0]]).unwrap();
        assert_eq!((constant.bias, constant.variance), (Some(0.2), Some(0.0)));
        let symmetric = of(&exact, &[&[3.0, 5.0], &[3.0, 3.0]]).unwrap();
        assert_eq!((symmetric.bias, symmetric.variance), (Some(0.0), Some(2.0 / 25.0)));
        assert_eq!(of(&[0.0], &[&[1.0], &[2.0]]).unwrap().bias, None);
        // Means 4 and 5, sums of squares 2 and 8.
        let three = of(&exact, &[&[3.0, 3.0], &[4.0, 5.0], &[5.0, 7.0]]).unwrap();
        assert!((three.bias.unwrap() - 2f64.sqrt() / 5.0).abs() < 1e-12 && three.count == 3);
        assert!((three.variance.unwrap() - 10.0 / 2.0 / 25.0).abs() < 1e-12, "{three:?}");
        assert!(of(&exact, &[&[3.0, 3.0]]).is_none());
    }
}
