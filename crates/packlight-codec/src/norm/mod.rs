//! The normalised values of a norm, shared with the layers behind it.

pub mod blpa;
pub mod merged_norm;
