//! The type of activations.

use serde::{Deserialize, Serialize};

/// The type of activations: `precision` in `study.toml`. Parameters, statistics, and sums of products are in f32 in
/// either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// The upper 16 of these; on a CUDA device alone.
    Bf16,
}

impl Precision {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
