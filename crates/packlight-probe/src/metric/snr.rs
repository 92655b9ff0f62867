//! Signal-to-noise ratio of the compressed gradient.

use super::relative_error;

/// `10 log10(|g|^2 / |g - h|^2) = -20 log10(relative error)`, in decibels.
///
/// `None` if the exact gradient is zero or either is not finite. Also `None` if the two are equal, where
/// the ratio is infinite; a relative error of 0 identifies this case.
pub fn snr_db(exact: &[f64], compressed: &[f64]) -> Option<f64> {
    let error = relative_error(exact, compressed)?;
    (error > 0.0).then(|| -20.0 * error.log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_length_is_20_db() {
        let db = snr_db(&[1.0, 0.0], &[1.0, 0.1]).unwrap();
        assert!((db - 20.0).abs() < 1e-12);
    }

    #[test]
    fn equal_vectors_have_no_finite_ratio() {
        assert_eq!(snr_db(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(snr_db(&[0.0], &[1.0]), None);
    }
}
