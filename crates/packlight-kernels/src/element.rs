//! The number types that kernels compute in.

use candle_core::{CpuStorage, WithDType};
use num_traits::Float;

use crate::exponential;

/// f32 or f64.
pub(crate) trait Element:
    WithDType + Float + Default + std::iter::Sum + std::fmt::Debug
{
    /// To f64, in which sums over many elements are taken.
    fn wide(self) -> f64;
    /// From f64, rounded.
    fn narrow(value: f64) -> Self;
    /// Bits that a magnitude takes.
    const MAGNITUDE_BITS: u32;
    /// The bits of the magnitude, which are ordered as magnitudes are; NaN comes above infinity.
    fn magnitude_bits(self) -> u64;
    /// `e` to this power, in a form that is fast in loops.
    fn power_of_e(self) -> Self;
    /// The error function, in a form that is fast in loops.
    fn error_function(self) -> Self;
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
    const MAGNITUDE_BITS: u32 = 31;
    fn magnitude_bits(self) -> u64 {
        u64::from(self.to_bits() & !(1 << 31))
    }
    #[inline(always)]
    fn power_of_e(self) -> Self {
        exponential::exp(self)
    }
    #[inline(always)]
    fn error_function(self) -> Self {
        exponential::erf(self)
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
    const MAGNITUDE_BITS: u32 = 63;
    fn magnitude_bits(self) -> u64 {
        self.to_bits() & !(1 << 63)
    }
    fn power_of_e(self) -> Self {
        self.exp()
    }
    fn error_function(self) -> Self {
        libm::erf(self)
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
