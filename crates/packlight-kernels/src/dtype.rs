//! The number types that kernels compute in.

use candle_core::{CpuStorage, WithDType};
use num_traits::Float;

use crate::{exponential, normal};

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
    /// What [`Element::lifted_decay`] and [`Element::lifted_tail`] are multiplied by to be themselves: with
    /// f32 they are lifted, so that they have all their digits below the normal numbers, too.
    const UNLIFT: Self;
    /// `e^-z` for z >= 0, lifted, in a form that is fast in loops.
    fn lifted_decay(self) -> Self;
    /// The normal distribution's `Φ(-z)` and density `φ(z)` for z >= 0, lifted, in a form that is fast in
    /// loops. Both have a small relative error.
    fn lifted_tail(self) -> [Self; 2];
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
    const UNLIFT: Self = exponential::UNLIFT;
    #[inline(always)]
    fn lifted_decay(self) -> Self {
        exponential::lifted_exp(-self, 0.0)
    }
    #[inline(always)]
    fn lifted_tail(self) -> [Self; 2] {
        normal::lifted_tail(self)
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
    const UNLIFT: Self = 1.0;
    fn lifted_decay(self) -> Self {
        (-self).exp()
    }
    fn lifted_tail(self) -> [Self; 2] {
        let density = (-0.5 * self * self).exp() / std::f64::consts::TAU.sqrt();
        [0.5 * libm::erfc(self * std::f64::consts::FRAC_1_SQRT_2), density]
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
