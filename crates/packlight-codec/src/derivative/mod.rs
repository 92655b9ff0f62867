//! The derivative of an activation function instead of its input.

pub mod step_derivative;
