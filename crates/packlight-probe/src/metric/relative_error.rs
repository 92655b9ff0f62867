//! Length of the error relative to the gradient.

use super::{distance, norm, ratio};

/// `|g - h| / |g|`: 0 if the two are equal, 1 if the compressed gradient is zero.
///
/// `None` if the exact gradient is zero or either is not finite.
pub fn relative_error(exact: &[f64], compressed: &[f64]) -> Option<f64> {
    ratio(distance(exact, compressed), norm(exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(relative_error(&[3.0, 4.0], &[3.0, 4.0]), Some(0.0));
        assert_eq!(relative_error(&[3.0, 4.0], &[0.0, 0.0]), Some(1.0));
        assert_eq!(relative_error(&[3.0, 4.0], &[3.0, 0.0]), Some(0.8));
    }

    #[test]
    fn undefined_without_a_reference() {
        assert_eq!(relative_error(&[0.0], &[0.0]), None);
        assert_eq!(relative_error(&[f64::INFINITY], &[1.0]), None);
        assert_eq!(relative_error(&[1.0], &[f64::NAN]), None);
    }
}
