//! The memory of a CUDA device: what tensors take of it, and what is said where it does not suffice. Not run on
//! a GPU so far.
//!
//! Candle allocates from the device's pool, in the order of its only stream, and the driver counts what it hands
//! out of there. A tensor that was freed may count until the device has come so far. Not counted is what libraries
//! and the driver take for themselves: cuBLAS's workspace and the code of kernels. A device without pools, and one
//! that is no CUDA device, counts nothing.

use std::fmt;

use candle_core::Device;

/// The bytes of the device's pool that are in use; `None` where they are not counted.
pub fn live(device: &Device) -> Option<usize> {
    read(device, Count::Live)
}

/// The most bytes of the device's pool that were in use since [`reset_peak`], or since the start.
pub fn peak(device: &Device) -> Option<usize> {
    read(device, Count::Peak)
}

/// Resets the peak to the bytes that are in use.
pub fn reset_peak(device: &Device) {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = device {
        crate::cuda::pool::reset_peak(card);
    }
    let _ = device;
}

/// Has the device's pool keep what is freed for the tensors to come. Otherwise it all goes back to the driver
/// whenever the program waits for the device, and each step obtains it anew.
pub fn keep(device: &Device) {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = device {
        crate::cuda::pool::keep(card);
    }
    let _ = device;
}

/// What a pool counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    /// The bytes in use.
    Live,
    /// The most bytes in use.
    Peak,
}

fn read(device: &Device, count: Count) -> Option<usize> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = device {
        return crate::cuda::pool::read(card, count);
    }
    let _ = (device, count);
    None
}

/// What a device's driver says where it has no memory left, and what cuBLAS says.
const SAID: [&str; 2] = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];

/// Memory that a device does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The bytes that were asked for, where that is known.
    pub asked: Option<usize>,
    /// The bytes that are free and those of the whole device, where the driver tells.
    pub free: Option<[usize; 2]>,
}

impl Shortage {
    /// What candle's error says of it; `None` if it is another error. Candle passes the driver's error on as
    /// text, which is the same in every build.
    pub(crate) fn in_error(error: &candle_core::Error) -> Option<Self> {
        let candle_core::Error::Cuda(driver) = unwrapped(error) else { return None };
        let said = driver.to_string();
        SAID.iter().any(|what| said.contains(what)).then(|| Self { asked: None, free: free() })
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        match self.asked {
            Some(asked) => write!(f, "the device has no memory for another {:.1} MiB", mib(asked))?,
            None => write!(f, "the device has no memory left")?,
        }
        match self.free {
            Some([free, all]) => write!(f, "; free are {:.1} of {:.1} MiB", mib(free), mib(all)),
            None => write!(f, "; how much is free is not known"),
        }
    }
}

/// The error without the backtrace and the contexts that candle wraps it in.
fn unwrapped(error: &candle_core::Error) -> &candle_core::Error {
    use candle_core::Error::{Context, WithBacktrace, WithPath};
    match error {
        WithBacktrace { inner, .. } | Context { inner, .. } | WithPath { inner, .. } => {
            unwrapped(inner)
        }
        error => error,
    }
}

/// The free bytes of the device that this thread has used last, and all of them.
#[cfg(feature = "cuda")]
fn free() -> Option<[usize; 2]> {
    let (free, all) = candle_core::cuda_backend::cudarc::driver::result::mem_get_info().ok()?;
    Some([free, all])
}

#[cfg(not(feature = "cuda"))]
fn free() -> Option<[usize; 2]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn the_processor_has_no_pool() {
        reset_peak(&Device::Cpu);
        keep(&Device::Cpu);
        assert_eq!((live(&Device::Cpu), peak(&Device::Cpu)), (None, None));
    }

    fn candle(said: &str) -> candle_core::Error {
        candle_core::Error::Cuda(said.into())
    }

    #[test]
    fn what_was_asked_for_and_what_was_free_is_told() {
        let free = Some([123 << 20, 80 << 30]);
        let told = |asked| Shortage { asked, free }.to_string();
        assert_eq!(
            told(Some(512 << 20)),
            "the device has no memory for another 512.0 MiB; free are 123.0 of 81920.0 MiB"
        );
        assert_eq!(told(None), "the device has no memory left; free are 123.0 of 81920.0 MiB");
    }

    #[test]
    fn the_driver_s_error_becomes_ours_and_others_stay() {
        let driver = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        for error in [candle(driver), candle(driver).context("a copy").bt()] {
            let error = Error::from(error).asking("gelu", 3 << 20);
            let Error::OutOfMemory { kernel, shortage } = &error else { panic!("{error}") };
            assert_eq!((*kernel, shortage.asked), ("gelu", Some(3 << 20)));
            let said = error.to_string();
            assert!(
                said.starts_with("gelu: the device has no memory for another 3.0 MiB"),
                "{said}"
            );
            assert!(said.ends_with("a smaller batch, or a plan that keeps less"), "{said}");
            // Who asked first is who lacked it.
            let again = error.asking("relu", 1);
            assert!(again.to_string().starts_with("gelu: "), "{again}");
        }
        let other = Error::from(candle("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, ..)"));
        assert!(matches!(other.asking("gelu", 1), Error::Candle(_)));
        let said = Error::from(candle("CublasError(CUBLAS_STATUS_ALLOC_FAILED)")).to_string();
        assert!(said.contains("no memory left"), "{said}");
    }
}
