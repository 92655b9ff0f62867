//! Squared error and squared bias of a compressed gradient over draws.

use super::{dot, squared_distance};

/// How far draws of a gradient `h` are from the exact `g`.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    /// The first draw.
    pub first: Vec<f64>,
    /// `E|h - g|^2`, the mean over the draws.
    pub squared_error: f64,
    /// `|E h - g|^2`: the mean of `<h - g, h' - g>` over all pairs of different draws, which is
    /// unbiased and may fall a little below 0; `None` for a single draw. It is `bias^2 - variance / draws`
    /// of [`Scatter::bias_and_variance`](super::Scatter::bias_and_variance).
    pub squared_bias: Option<f64>,
}

impl Errors {
    /// Makes `draws` draws by their numbers; no more than two, if these are equal bit for bit, since the
    /// codec then draws nothing: its whole error is bias.
    ///
    /// # Errors
    /// Returns the first error of `draw`.
    pub fn over<E>(
        draws: u64,
        exact: &[f64],
        mut draw: impl FnMut(u64) -> Result<Vec<f64>, E>,
    ) -> Result<Self, E> {
        let first = draw(0)?;
        let mut squares = squared_distance(&first, exact);
        if draws < 2 {
            return Ok(Self { first, squared_error: squares, squared_bias: None });
        }
        let mut sum: Vec<f64> = first.iter().zip(exact).map(|(h, g)| h - g).collect();
        for number in 1..draws {
            let other = draw(number)?;
            if number == 1 && other == first {
                return Ok(Self { first, squared_error: squares, squared_bias: Some(squares) });
            }
            squares += squared_distance(&other, exact);
            sum.iter_mut().zip(other.iter().zip(exact)).for_each(|(sum, (h, g))| *sum += h - g);
        }
        let count = draws as f64;
        let squared_bias = (dot(&sum, &sum) - squares) / (count * (count - 1.0));
        Ok(Self { first, squared_error: squares / count, squared_bias: Some(squared_bias) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(exact: &[f64], draws: &[&[f64]]) -> Errors {
        let draw = |number| Ok::<_, ()>(draws[number as usize].to_vec());
        Errors::over(draws.len() as u64, exact, draw).unwrap()
    }

    #[test]
    fn the_bias_is_the_mean_product_of_the_errors_of_different_draws() {
        // Errors (1, 0), (0, 2) and (1, 1): products 0, 1 and 2; squares 1, 4 and 2.
        let found = over(&[3.0, 4.0], &[&[4.0, 4.0], &[3.0, 6.0], &[4.0, 5.0]]);
        assert!((found.squared_error - 7.0 / 3.0).abs() < 1e-12, "{found:?}");
        assert!((found.squared_bias.unwrap() - 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.first, [4.0, 4.0]);
        assert_eq!(over(&[1.0], &[&[3.0]]).squared_bias, None);
        assert_eq!(over(&[1.0], &[&[2.0], &[0.0]]).squared_bias, Some(-1.0));
    }

    #[test]
    fn what_draws_nothing_is_all_bias_after_two_draws() {
        let mut made = 0;
        let draw = |_| {
            made += 1;
            Ok::<_, ()>(vec![3.0])
        };
        let found = Errors::over(9, &[1.0], draw).unwrap();
        assert_eq!((found.squared_error, found.squared_bias, made), (4.0, Some(4.0), 2));
    }
}
