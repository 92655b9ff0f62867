//! The devices that studies and commands compute on.

use candle_core::Device;
use packlight_spec::DeviceSpec;

use crate::{Error, Result, machine};

/// The device that is asked for.
///
/// # Errors
/// Returns an error that says why, if a CUDA device is asked for and none can be used.
pub fn open_device(spec: DeviceSpec) -> Result<Device> {
    match spec {
        DeviceSpec::Cpu => Ok(Device::Cpu),
        DeviceSpec::Auto => Ok(card().unwrap_or(Device::Cpu)),
        DeviceSpec::Cuda => card().map_err(|reason| Error::NoDevice { reason }),
    }
}

/// What people should know of the device that [`open_device`] gives: which one `auto` is.
pub fn device_note(spec: DeviceSpec) -> Option<String> {
    let of = |card: Result<_, String>| match card {
        Ok(card) => format!("device auto is {}", name(&card)),
        Err(reason) => format!("device auto is the processor: {reason}"),
    };
    (spec == DeviceSpec::Auto).then(|| of(card()))
}

/// The name of a device: a card's and its processor's, or the processor's alone.
pub(crate) fn name(device: &Device) -> String {
    match card_name(device) {
        Some(card) => format!("{card} (CUDA) with {}", machine::processor()),
        None => machine::processor(),
    }
}

/// The first CUDA device, the same one each time, since tensors of two handles cannot meet; or why there is
/// none.
#[cfg(feature = "cuda")]
fn card() -> Result<Device, String> {
    use std::sync::OnceLock;

    use packlight_kernels::device_memory;

    static CARD: OnceLock<Result<Device, String>> = OnceLock::new();
    let open = || {
        let card = Device::new_cuda(0).map_err(|error| {
            // Candle appends a backtrace where the environment asks for one.
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            format!("no CUDA device can be used ({reason})")
        })?;
        device_memory::keep(&card);
        Ok(card)
    };
    CARD.get_or_init(open).clone()
}

#[cfg(not(feature = "cuda"))]
fn card() -> Result<Device, String> {
    Err("this program was built without CUDA; build it with `--features cuda`".to_owned())
}

#[cfg(feature = "cuda")]
fn card_name(device: &Device) -> Option<String> {
    match device {
        Device::Cuda(card) => {
            Some(card.cuda_stream().context().name().unwrap_or_else(|_| "a card".to_owned()))
        }
        _ => None,
    }
}

#[cfg(not(feature = "cuda"))]
fn card_name(_: &Device) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_there_and_auto_says_what_it_is() {
        assert!(open_device(DeviceSpec::Cpu).unwrap().is_cpu());
        assert!(device_note(DeviceSpec::Cpu).is_none());
        let auto = open_device(DeviceSpec::Auto).unwrap();
        assert_eq!(device_note(DeviceSpec::Auto).unwrap().contains("processor:"), auto.is_cpu());
        assert_eq!(open_device(DeviceSpec::Cuda).is_ok(), !auto.is_cpu());
        assert_eq!(name(&Device::Cpu), machine::processor());
    }
}
