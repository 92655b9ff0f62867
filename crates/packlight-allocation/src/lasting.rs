//! Errors that last, with biases that count only as far as they are no chance.

use packlight_record::{VARIANCE_LEFT, WholeError};

use crate::estimate::Sampling;

/// How many standard errors a bias has to be away from 0 to count. Of biases that are none, one of forty does so by
/// chance where batches are many, with four batches one of fifteen and with two one of seven.
const SIGNIFICANT: f64 = 2.0;

/// The lasting error of each batch.
///
/// A bias that is estimated by few draws is up or down by chance, often by more than the lasting error of a codec
/// without one. So it is drawn towards 0 by the factor `1 - (2 s / b)^2`, or to 0, where `b` is its mean and `s`
/// the standard error of that over the batches (the nonnegative garrote of Breiman, Better Subset Regression Using
/// the Nonnegative Garrote, Technometrics 37, 1995); the rest of the squared error is variance. Where nothing is
/// random, all of it is bias, and certain.
pub(crate) fn lasting_errors(errors: &[WholeError], sampling: &Sampling) -> Vec<f64> {
    let biases = errors.iter().map(WholeError::relative_squared_bias).collect();
    let Some((biases, counts)) = counted(errors, biases, sampling) else {
        return errors.iter().map(WholeError::lasting).collect();
    };
    let lasting = |(error, bias): (&WholeError, f64)| {
        let (error, bias) = (error.of_one_pass(), counts * bias);
        bias + VARIANCE_LEFT * (error - bias)
    };
    errors.iter().zip(biases).map(lasting).collect()
}

/// The logarithm of the lasting error of each batch, not squared, whose mean is that of all.
///
/// Here the bias is a share of the batch's squared error, which may be a millionfold that of another batch. It is drawn
/// towards 0 as in [`lasting_errors`], and the lasting share of the squared error follows from its mean: the
/// logarithm of a batch's own would take chance, up or down, for a lower error. What a batch's own share differs from
/// the mean moves the logarithm in proportion, so that it is part of the interval.
pub(crate) fn logarithms(errors: &[WholeError], sampling: &Sampling) -> Vec<f64> {
    let root = |square: f64| 0.5 * square.ln();
    let share = |error: &WholeError| Some(error.squared_bias? / error.squared_error);
    let shares = errors.iter().map(share).collect();
    let Some((shares, counts)) = counted(errors, shares, sampling) else {
        return errors.iter().map(|error| root(error.lasting())).collect();
    };
    let mean = sampling.mean(&shares);
    let biased = (counts * mean).min(1.0);
    let lasts = biased + VARIANCE_LEFT * (1.0 - biased);
    let slope = counts * (1.0 - VARIANCE_LEFT) / lasts;
    let logarithm = |(error, share): (&WholeError, f64)| {
        root(error.of_one_pass()) + root(lasts) + 0.5 * slope * (share - mean)
    };
    errors.iter().zip(shares).map(logarithm).collect()
}

/// The biases, and the share of them that is more than chance; `None` where nothing is random, or chance is not known.
fn counted(
    errors: &[WholeError],
    biases: Option<Vec<f64>>,
    sampling: &Sampling,
) -> Option<(Vec<f64>, f64)> {
    if errors.iter().all(|error| error.squared_bias == Some(error.squared_error)) {
        return None;
    }
    let biases = biases?;
    let (mean, variance) = (sampling.mean(&biases), sampling.variance(&biases)?);
    let chance = SIGNIFICANT.powi(2) * variance / mean.powi(2);
    let counts = if mean > 0.0 { (1.0 - chance).max(0.0) } else { 0.0 };
    Some((biases, counts))
}
