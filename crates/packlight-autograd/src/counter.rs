//! What counts the bytes of tensors.

use candle_core::Device;
use packlight_kernels::device_memory;

use crate::allocator;

/// Counts the bytes of tensors on a device: on the processor the program's [allocator], which counts all that it
/// allocates, on a card the driver's pool ([`device_memory`]).
#[derive(Debug, Clone)]
pub struct Counter(Device);

impl Counter {
    /// What counts on this device.
    pub fn of(device: &Device) -> Self {
        Self(device.clone())
    }

    /// Whether anything counts. If not, there seem to be no live bytes.
    pub fn counts(&self) -> bool {
        self.live() > 0
    }

    /// The live bytes.
    pub fn live(&self) -> usize {
        match self.0.is_cpu() {
            true => allocator::live(),
            false => device_memory::live(&self.0).unwrap_or_default(),
        }
    }

    /// The most live bytes since the peak was reset.
    pub fn peak(&self) -> usize {
        match self.0.is_cpu() {
            true => allocator::peak(),
            false => device_memory::peak(&self.0).unwrap_or_default(),
        }
    }

    /// Resets the peak to the live bytes.
    pub fn reset_peak(&self) {
        match self.0.is_cpu() {
            true => allocator::reset_peak(),
            false => device_memory::reset_peak(&self.0),
        }
    }
}
