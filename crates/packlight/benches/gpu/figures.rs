//! The figures of a run.

use serde::Serialize;

/// A step of a network with a plan.
#[derive(Debug, Serialize)]
pub(crate) struct TimedStep {
    pub(crate) network: &'static str,
    pub(crate) plan: &'static str,
    /// Of activations: `f32` or `bf16`.
    pub(crate) precision: &'static str,
    pub(crate) batch: usize,
    /// Median, in milliseconds.
    pub(crate) median_ms: f64,
    /// How many were timed.
    pub(crate) steps: usize,
    /// The most bytes of tensors beyond those before the step.
    pub(crate) peak_bytes: usize,
}

/// Bytes read and written in a second.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Packers {
    /// Of a copy of the same tensor on the device.
    pub(crate) copy: f64,
    pub(crate) rates: Vec<Rate>,
}

/// A packer's, of the bytes that it cannot do without: the tensor once, and what is packed once.
#[derive(Debug, Serialize)]
pub(crate) struct Rate {
    pub(crate) packer: String,
    pub(crate) bytes_per_s: f64,
}
