//! Length of the compressed gradient relative to the exact one.

use super::{norm, ratio};

/// `|h| / |g|`: below 1 if a codec shrinks the gradient, as every projection does.
///
/// `None` if the exact gradient is zero or either is not finite.
pub fn norm_ratio(exact: &[f64], compressed: &[f64]) -> Option<f64> {
    ratio(norm(compressed), norm(exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_the_compressed_gradient_scales_it() {
        let (g, h) = ([3.0, -4.0], [1.5, -2.0]);
        assert_eq!(norm_ratio(&g, &g), Some(1.0));
        assert_eq!(norm_ratio(&g, &h), Some(0.5));
        assert_eq!(norm_ratio(&g, &[0.0, 0.0]), Some(0.0));
    }

    #[test]
    fn undefined_without_a_reference() {
        assert_eq!(norm_ratio(&[0.0], &[1.0]), None);
        assert_eq!(norm_ratio(&[1.0], &[f64::NAN]), None);
    }
}
