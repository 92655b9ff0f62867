//! Whether all elements of a tensor are finite.

use candle_core::Tensor;

use crate::cuda::on_cuda;
use crate::tensor_io::{by_dtype, check_finite, read};
use crate::{Error, Result};

const KERNEL: &str = "finite";

/// Whether no element is NaN or infinite.
///
/// # Errors
/// Returns an error if the type or device is not supported.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    on_cuda!(tensor => finite::is_finite(tensor));
    by_dtype!(KERNEL, tensor, T => {
        read!(KERNEL; tensor: T);
        match check_finite(KERNEL, tensor) {
            Ok(()) => Ok(true),
            Err(Error::NotFinite { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn one_element_that_is_not_finite_is_found_wherever_it_stands() {
        for count in [1, 17, 200_000] {
            let values = vec![f32::MAX; count];
            let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
            assert!(is_finite(&tensor(&values)).unwrap());
            for at in [0, count / 2, count - 1] {
                for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut values = values.clone();
                    values[at] = wrong;
                    assert!(!is_finite(&tensor(&values)).unwrap(), "{wrong} at {at} of {count}");
                }
            }
        }
    }

    #[test]
    fn a_view_is_judged_by_its_own_elements() {
        let matrix = Tensor::new(&[[1f64, f64::NAN], [2.0, 3.0]], &Device::Cpu).unwrap();
        assert!(is_finite(&matrix.narrow(1, 0, 1).unwrap()).unwrap());
        assert!(!is_finite(&matrix.t().unwrap()).unwrap());
    }
}
