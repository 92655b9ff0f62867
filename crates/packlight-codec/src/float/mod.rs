//! Narrow floats.

pub mod bf16;
pub mod fp8;
