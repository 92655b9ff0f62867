//! Calls of the tests on a CUDA device: their tensors are copied there, and the results back. Not run on a
//! GPU so far.

use std::sync::OnceLock;

use candle_core::{CudaDevice, Device, Tensor};
use packlight_kernels::Result;
use packlight_kernels::cuda::{Argument, Call, Gpu};

use crate::host::Replace;

/// A machine's first CUDA device.
pub(crate) struct Card(CudaDevice);

impl Card {
    /// The card, if there is one.
    pub(crate) fn here() -> Option<Self> {
        static CARD: OnceLock<Option<CudaDevice>> = OnceLock::new();
        let open = || match Device::new_cuda(0) {
            Ok(Device::Cuda(card)) => Some(card),
            _ => None,
        };
        CARD.get_or_init(open).clone().map(Self)
    }
}

impl Gpu for Card {
    fn run(&self, call: &Call) -> Result<Vec<Tensor>> {
        let device = Device::Cuda(self.0.clone());
        let there = call.with_tensors(|tensor| tensor.to_device(&device))?;
        let outputs = self.0.run(&there)?;
        for (here, there) in call.arguments.iter().zip(&there.arguments) {
            if let (Argument::InOut(here), Argument::InOut(there)) = (here, there) {
                here.inplace_op1(&Replace(there.to_device(&Device::Cpu)?))?;
            }
        }
        let back = outputs.iter().map(|output| output.to_device(&Device::Cpu));
        Ok(back.collect::<candle_core::Result<_>>()?)
    }

    fn product(&self, left: &Tensor, right: &Tensor) -> candle_core::Result<Tensor> {
        let there = |tensor: &Tensor| tensor.to_device(&Device::Cuda(self.0.clone()));
        self.0.product(&there(left)?, &there(right)?)?.to_device(&Device::Cpu)
    }
}
