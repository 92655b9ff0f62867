//! The number types that kernels compute in.

use candle_core::{CpuStorage, WithDType};
use num_traits::Float;

/// f32 or f64.
pub(crate) trait Element: WithDType + Float + std::iter::Sum + std::fmt::Debug {
    /// To f64, in which sums over many elements are taken.
    fn wide(self) -> f64;
    /// From f64, rounded.
    fn narrow(value: f64) -> Self;
    /// The same slice where this type is f32, for loops written for it alone.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
    /// The same slice where this type is f32, for loops written for it alone.
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
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
    fn as_f32(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]> {
        Some(values)
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
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }
    fn as_f32_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        match storage {
            CpuStorage::F64(values) => Some(values),
            _ => None,
        }
    }
}
