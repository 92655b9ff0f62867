//! The driver's pool of a device's memory, which candle's tensors are allocated from (cuMemAllocAsync). Not run on
//! a GPU so far.

#![allow(unsafe_code)]

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::sys::{
    CUmemPool_attribute as Attribute, CUmemoryPool,
};
use candle_core::cuda_backend::cudarc::driver::{DriverError, result};

use crate::device_memory::Count;

/// What the pool counts; `None` if there is no pool, or the driver does not tell.
pub(crate) fn read(device: &CudaDevice, count: Count) -> Option<usize> {
    let attribute = match count {
        Count::Live => Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
        Count::Peak => Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
    };
    let mut bytes = 0u64;
    // SAFETY: the pool is the device's, and the value of this attribute has 64 bits.
    unsafe { result::mem_pool::get_attribute(pool(device)?, attribute, (&raw mut bytes).cast()) }
        .ok()?;
    usize::try_from(bytes).ok()
}

/// Resets the most bytes in use to those in use.
pub(crate) fn reset_peak(device: &CudaDevice) {
    // The driver takes no value but 0 and sets the present one.
    let _ = set(device, Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0);
}

/// Has the pool keep all that is freed.
pub(crate) fn keep(device: &CudaDevice) {
    // Where it cannot, allocations take longer.
    let _ = set(device, Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX);
}

fn set(device: &CudaDevice, attribute: Attribute, mut value: u64) -> Result<(), DriverError> {
    let Some(pool) = pool(device) else { return Ok(()) };
    // SAFETY: the pool is the device's, and the values of these attributes have 64 bits.
    unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut value).cast()) }
}

/// The pool that candle's tensors on this device come from, if it has one.
fn pool(device: &CudaDevice) -> Option<CUmemoryPool> {
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return None;
    }
    // SAFETY: the context's device is one that the driver has given.
    unsafe { result::device::get_mem_pool(context.cu_device()) }.ok()
}
