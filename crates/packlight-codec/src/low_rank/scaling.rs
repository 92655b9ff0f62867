//! Tensors of a size at which their elements can be squared.

use candle_core::{DType, Tensor};
use packlight_kernels::largest::largest;

use crate::Result;

/// Powers of two, either way, within which squares and their sums keep all their digits.
const SAFE: i32 = 32;

/// A tensor whose largest magnitude is far from where its squares overflow or vanish: this one, or a
/// power of two times it, by which nothing is rounded. For what does not depend on a tensor's scale,
/// such as its singular vectors.
///
/// # Errors
/// Returns an error if type or device have no kernel.
pub(crate) fn squarable(tensor: &Tensor) -> Result<Tensor> {
    let largest = largest(tensor)?;
    if largest == 0.0 || !largest.is_finite() {
        return Ok(tensor.clone());
    }
    let exponent = largest.log2().floor() as i32;
    if exponent.abs() <= SAFE {
        return Ok(tensor.clone());
    }
    // A factor that the type holds, too; that of subnormal numbers stops short of 1.
    let most = if tensor.dtype() == DType::F64 { 1000 } else { 120 };
    Ok((tensor * 2f64.powi((-exponent).clamp(-most, most)))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn only_the_power_of_two_changes_and_only_far_out() {
        for dtype in [DType::F32, DType::F64] {
            for scale in [0.0, 1e-40, 1e-20, 1e-5, 1.0, 1e5, 1e20, 1e38] {
                let values = [1.25 * scale, -0.3 * scale];
                let x = Tensor::new(&values, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
                let values = |x: &Tensor| x.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
                let (x, found) = (values(&x), values(&squarable(&x).unwrap()));
                assert!(scale == 0.0 || (1e-10..1e10).contains(&found[0]), "{scale}: {found:?}");
                let ratio = if scale == 0.0 { 1.0 } else { found[0] / x[0] };
                assert_eq!(found[1], x[1] * ratio);
                assert_eq!(ratio.log2().fract(), 0.0);
            }
        }
        let bad = Tensor::new(&[1f32, f32::NAN], &Device::Cpu).unwrap();
        assert!(squarable(&bad).unwrap().to_vec1::<f32>().unwrap()[1].is_nan());
    }
}
