//! Checks gradients against central differences, in f64.
//!
//! The step and the tolerances are those of PyTorch's `gradcheck`: a step of 1e-6, and a difference
//! of at most 1e-5 + 1e-3 |numeric|.

use candle_core::{Tensor, Var};

use crate::{Error, Result};

/// The step of the central differences.
pub const STEP: f64 = 1e-6;
/// The absolute tolerance.
pub const ABSOLUTE: f64 = 1e-5;
/// The tolerance relative to the numeric gradient.
pub const RELATIVE: f64 = 1e-3;

/// Checks the gradient of the scalar `f` with respect to every element of `inputs` (f64).
///
/// It calls `f` twice for each element, so use small inputs. To check an operation whose output is
/// not a scalar, let `f` return the sum of its products with fixed random numbers.
///
/// # Errors
/// Returns an error if `f` fails, an input is missing from the gradients, or an element differs:
/// the error says which one, with both values.
pub fn check(inputs: &[Tensor], f: impl Fn(&[Var]) -> Result<Tensor>) -> Result<()> {
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let grads = f(&vars)?.backward()?;
    for (number, (input, var)) in inputs.iter().zip(&vars).enumerate() {
        let grad = grads.get(var).ok_or_else(|| {
            Error::GradientCheck(format!("input {number} got no gradient from the backward pass"))
        })?;
        let analytic = grad.flatten_all()?.to_vec1::<f64>()?;
        let values = input.flatten_all()?.to_vec1::<f64>()?;
        for (at, &analytic) in analytic.iter().enumerate() {
            let moved = |step: f64| -> Result<f64> {
                let mut values = values.clone();
                values[at] += step;
                var.set(&Tensor::from_vec(values, input.shape(), input.device())?)?;
                Ok(f(&vars)?.to_scalar::<f64>()?)
            };
            let numeric = (moved(STEP)? - moved(-STEP)?) / (2.0 * STEP);
            let tolerance = ABSOLUTE + RELATIVE * numeric.abs();
            let close = (analytic - numeric).abs() <= tolerance; // not so where one is not a number
            if !close || !analytic.is_finite() {
                return Err(Error::GradientCheck(format!(
                    "input {number} {:?}, element {at}: the backward pass gives {analytic}, \
                     central differences {numeric}",
                    input.dims()
                )));
            }
        }
        var.set(input)?;
    }
    Ok(())
}
