//! What operations multiply and move in a pass over blanks.

use std::sync::Arc;

use candle_core::Tensor;

/// A convolution, a linear layer or a product of activations in a pass over blanks
/// ([`packlight_kernels::blank`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The layer; that of the left factor, for a product of activations.
    pub layer: Arc<str>,
    /// The shape of what it reads, which is the left factor.
    pub input: Vec<usize>,
    /// Whether it has a weight, and computes the gradient of that.
    pub trains: bool,
    /// The multiplications of the forward pass, as its formula has them: fast algorithms need fewer.
    pub forward: u64,
    /// Those of the gradients that it computes.
    pub backward: u64,
    /// The bytes of what it reads and writes, once each, in both passes.
    pub moved: u64,
    /// The most bytes that one of its passes allocates beside what it returns.
    pub workspace: usize,
    /// Whether it was computed in the backward pass, by a recomputed part.
    pub again: bool,
}

impl Product {
    /// A product of `input` by a factor of `factor` elements to `output` elements, with `per_output`
    /// multiplications for each of them, and `gradients` more products like it in the backward pass.
    pub(crate) fn new(
        layer: Arc<str>,
        input: &Tensor,
        factor: usize,
        (output, per_output): (usize, usize),
        gradients: usize,
    ) -> Self {
        let forward = output as u64 * per_output as u64;
        let once = (input.elem_count() + factor + output) * input.dtype().size_in_bytes();
        Self {
            layer,
            input: input.dims().to_vec(),
            trains: false,
            forward,
            backward: gradients as u64 * forward,
            moved: (1 + gradients as u64) * once as u64,
            workspace: 0,
            again: false,
        }
    }
}

/// What operations other than products read and write in a pass over blanks
/// ([`packlight_kernels::blank`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The layer; `None` for an operation that saves nothing, such as an addition.
    pub layer: Option<Arc<str>>,
    /// The bytes of its inputs and its output going forward, and of their gradients and what was saved going
    /// back, once each.
    pub moved: u64,
}
