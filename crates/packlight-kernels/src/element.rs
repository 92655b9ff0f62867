//! The number types that kernels compute in.

use candle_core::{CpuStorage, WithDType};
use num_traits::Float;

/// f32 or f64.
pub(crate) trait Element: WithDType + Float + std::iter::Sum + std::fmt::Debug {
    /// To f64, in which sums over many elements are taken.
    fn wide(self) -> f64;
    /// From f64, rounded.
    fn narrow(value: f64) -> Self;
    /// The elements of a storage to be changed in place, if it holds this type.
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Element for f32 {
    fn wide(self) -> f64 {
        self.into()
    }
    fn narrow(value: f64) -> Self {
        value as f32
    }
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F32(values) => Some(values),
            _ => None,
        }
    }
}

impl Element for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn narrow(value: f64) -> Self {
        value
    }
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F64(values) => Some(values),
            _ => None,
        }
    }
}
