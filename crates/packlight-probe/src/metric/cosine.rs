//! Cosine of the angle between two gradients.

use super::{dot, ratio};

/// `<g, h> / (|g| |h|)`, in [-1, 1] (Barley & Fröning, arXiv 2409.11902): how well the directions of
/// the two gradients agree, whatever their lengths.
///
/// `None` if either is zero or not finite.
pub fn cosine(exact: &[f64], compressed: &[f64]) -> Option<f64> {
    let (gg, hh) = (dot(exact, exact), dot(compressed, compressed));
    // With one root of the product, the cosine of equal vectors is exactly 1. If the product is out
    // of range, two roots lose an ulp instead.
    let product = gg * hh;
    let norms = if product.is_normal() { product.sqrt() } else { gg.sqrt() * hh.sqrt() };
    ratio(dot(exact, compressed), norms).map(|c| c.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_vectors_have_cosine_1_at_any_scale() {
        for scale in [1e-30, 1e-3, 1.0, 7.7, 1e30] {
            let g: Vec<f64> = [0.1, -0.7, 0.3].iter().map(|x| x * scale).collect();
            assert_eq!(cosine(&g, &g), Some(1.0));
        }
        let tiny = [1e-120, -3e-120];
        assert!((cosine(&tiny, &tiny).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn opposite_and_orthogonal() {
        assert_eq!(cosine(&[1.0, 2.0], &[-1.0, -2.0]), Some(-1.0));
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 5.0]), Some(0.0));
    }

    #[test]
    fn undefined_for_zero_and_non_finite_gradients() {
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 0.0]), None);
        assert_eq!(cosine(&[f64::NAN, 0.0], &[1.0, 0.0]), None);
        assert_eq!(cosine(&[1.0, 0.0], &[f64::INFINITY, 0.0]), None);
    }
}
