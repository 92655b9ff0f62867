//! What convolutions allocate while they run.

use candle_core::DType;

use super::{Conv2dGeometry, Problem, dense, tap_sum};
use crate::Result;

/// The bytes that each pass of a convolution or a linear layer allocates beside its result, and frees before
/// it returns: sources laid out with their padding, weights side by side or transposed, transformed taps and
/// tiles, sums of tasks.
///
/// Those of tasks that run at the same time depend on the number of threads. Lists of indices, which are
/// far smaller, are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workspace {
    /// For [`forward`](super::forward).
    pub forward: usize,
    /// For [`weight_grad`](super::weight_grad), from a dense input.
    pub weight_grad: usize,
    /// For [`input_grad`](super::input_grad).
    pub input_grad: usize,
}

/// The workspace of a convolution of an input and a weight of these shapes on the CPU, with the threads of
/// this process.
///
/// # Errors
/// Returns an error if the shapes do not fit.
pub fn workspace(
    input: &[usize],
    weight: &[usize],
    geometry: &Conv2dGeometry,
    dtype: DType,
) -> Result<Workspace> {
    let problem = Problem::new(input, weight, geometry)?;
    let size = dtype.size_in_bytes();
    Ok(Workspace {
        forward: size * tap_sum::forward_workspace(&problem),
        weight_grad: size * dense::workspace(&problem),
        input_grad: size * tap_sum::input_grad_workspace(&problem),
    })
}
