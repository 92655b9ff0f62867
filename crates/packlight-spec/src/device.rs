//! Where a study computes.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Where a study computes: `device` in `study.toml`. Rounding differs between devices, so records do, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceSpec {
    /// On the processor.
    #[default]
    Cpu,
    /// On the first CUDA device, without which there is an error.
    Cuda,
    /// On the first CUDA device, or on the processor where there is none.
    Auto,
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for DeviceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Cpu, Self::Cuda, Self::Auto]
            .into_iter()
            .find(|device| device.to_string() == text)
            .ok_or_else(|| "expected cpu, cuda or auto".to_owned())
    }
}
