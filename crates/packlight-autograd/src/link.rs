//! Links: the one-element tensors that stand for activations in candle's graph.
//!
//! Candle calls a custom op's `bwd` once, after all consumers of its result. The real gradients do
//! not travel with candle's: a link's own gradient is a zero that only keeps candle going, while
//! the activation's gradient waits in the link's slot.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Shape, Storage, Tensor, Var};

use packlight_kernels::blank::is_blank;

use crate::gradient::{Gradient, Slot};
use crate::{EagerUpdates, Pass, Result};

/// The scalar that stands for an activation, and the slot of its gradient.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) scalar: Tensor,
    pub(crate) slot: Slot,
}

/// Whether candle tracks gradients for a tensor.
pub(crate) fn is_tracked(tensor: &Tensor) -> bool {
    tensor.track_op()
}

impl Link {
    /// Runs the backward pass from here, given the gradient of this link's activation, and returns the
    /// gradients, those of parameters by `collector`, which the pass has as its eager updates.
    pub(crate) fn backward(&self, gradient: Tensor, collector: &EagerUpdates) -> Result<GradStore> {
        self.slot.add(Gradient::Shared(gradient))?;
        collector.collect(&self.scalar)
    }

    /// The beginning of a graph of its own for the same activation: gradients that arrive there are
    /// added here.
    pub(crate) fn apart(&self) -> Result<Self> {
        let scalar = Var::zeros(1, DType::F32, self.scalar.device())?.into_inner();
        Ok(Self { scalar, slot: self.slot.clone() })
    }
}

/// The value of every link.
pub(crate) fn zero() -> candle_core::Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
}

/// The value of every link, on a GPU.
pub(crate) fn zero_beside(storage: &CudaStorage) -> candle_core::Result<(CudaStorage, Shape)> {
    let shape = Shape::from(1);
    Ok((storage.device().zeros_impl(&shape, DType::F32)?, shape))
}

/// The link of a tensor that candle tracks.
pub(crate) fn enter(tensor: &Tensor, pass: &Pass) -> Result<Link> {
    let slot = Slot::default();
    let updates = pass.eager_updates().filter(|_| tensor.is_variable()).cloned();
    if let Some(updates) = &updates {
        updates.expect(tensor);
    }
    let scalar = tensor.apply_op1(Enter { slot: slot.clone(), updates })?;
    Ok(Link { scalar, slot })
}

struct Enter {
    slot: Slot,
    /// What takes the gradient in candle's place.
    updates: Option<EagerUpdates>,
}

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "from_tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        zero()
    }

    fn cuda_fwd(&self, s: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        zero_beside(s)
    }

    fn bwd(&self, tensor: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = self.slot.take().map(Gradient::into_tensor);
        if let Some(updates) = &self.updates {
            updates.arrived(tensor, gradient)?;
            return Ok(None); // a variable is a leaf, which candle does not go on from
        }
        if tensor.is_variable() && gradient.as_ref().is_some_and(is_blank) {
            return Ok(None); // candle would add it to zeros
        }
        gradient.map_or_else(|| tensor.zeros_like(), Ok).map(Some)
    }
}

/// An ordinary tensor with an activation's data, whose gradient goes to the activation.
pub(crate) fn leave(link: &Link, data: &Tensor) -> Result<Tensor> {
    let op = Leave { slot: link.slot.clone(), data: Mutex::new(Some(data.clone())) };
    Ok(link.scalar.apply_op1(op)?)
}

struct Leave {
    slot: Slot,
    /// Handed over in the forward pass, so that the graph does not hold it as well.
    data: Mutex<Option<Tensor>>,
}

impl Leave {
    fn take(&self) -> candle_core::Result<Tensor> {
        let data = self.data.lock().unwrap_or_else(PoisonError::into_inner).take();
        data.ok_or_else(|| candle_core::Error::Msg("into_tensor: called twice".into()))
    }
}

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        "into_tensor"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        // A copy of its own, from offset 0, since the storage alone is returned.
        let data = self.take()?.force_contiguous()?;
        let (storage, _) = data.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.clone(), data.shape().clone())),
            _ => candle_core::bail!("into_tensor: data and link are on different devices"),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let data = self.take()?.contiguous()?;
        let (storage, layout) = data.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, data.shape().clone())),
            _ => candle_core::bail!("into_tensor: data and link are on different devices"),
        }
    }

    fn bwd(&self, link: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.slot.add(Gradient::Shared(grad.clone()))?;
        Ok(Some(link.zeros_like()?))
    }
}
