//! The number types that kernels compute in.

use candle_core::{CpuStorage, WithDType};
use num_traits::Float;

use crate::{exponential, normal};

/// f32 or f64.
pub(crate) trait Element:
    WithDType + Float + Default + std::iter::Sum + std::fmt::Debug
{
    /// Converts to f64, the type of long sums.
    fn wide(self) -> f64;
    /// Rounds from f64.
    fn narrow(value: f64) -> Self;
    /// Bits of a magnitude.
    const MAGNITUDE_BITS: u32;
    /// The bits of the magnitude, in the same order as magnitudes; NaN is above infinity.
    fn magnitude_bits(self) -> u64;
    /// The same number where all bits of the mask are set, 0 where none is.
    fn masked(self, mask: u32) -> Self;
    /// `e` to this power, in a form that is fast in loops.
    fn power_of_e(self) -> Self;
    /// The factor that undoes the scaling of [`Element::lifted_decay`] and
    /// [`Element::lifted_tail`]. For f32 they are scaled up ("lifted"), so that they keep all
    /// digits below the normal numbers.
    const UNLIFT: Self;
    /// `e^-z` for z >= 0, lifted, in a form that is fast in loops.
    fn lifted_decay(self) -> Self;
    /// The normal distribution's `Φ(-z)` and density `φ(z)` for z >= 0, lifted, in a form that is
    /// fast in loops. Both have a small relative error.
    fn lifted_tail(self) -> [Self; 2];
    /// The same slice if this type is f32, for loops written for f32 only; otherwise `None`.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
    /// The same slice if this type is f32, for loops written for f32 only; otherwise `None`.
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
    /// The elements of a storage for changes in place; `None` if it holds another type.
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Element for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value as f32
    }
    const MAGNITUDE_BITS: u32 = 31;
    fn magnitude_bits(self) -> u64 {
        u64::from(self.to_bits() & !(1 << 31))
    }
    #[inline(always)]
    fn masked(self, mask: u32) -> Self {
        Self::from_bits(self.to_bits() & mask)
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
    #[inline(always)]
    fn masked(self, mask: u32) -> Self {
        Self::from_bits(self.to_bits() & (u64::from(mask) << 32 | u64::from(mask)))
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
