//! `--device` of commands that compute without a study.

use candle_core::Device;
use clap::Args;
use packlight::spec::DeviceSpec;
use packlight::study::{device_note, open_device};

use crate::output::say;

#[derive(Args)]
pub(crate) struct OnDevice {
    /// Where to compute: cpu, cuda, or auto for a CUDA device where there is one
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceSpec,
}

impl OnDevice {
    /// The device; says which one `auto` is.
    pub(crate) fn open(&self) -> anyhow::Result<Device> {
        let device = open_device(self.device)?;
        device_note(self.device).iter().for_each(say);
        Ok(device)
    }
}
