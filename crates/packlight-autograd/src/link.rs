//! Links: the one-element tensors that stand for activations in candle's graph.
//!
//! Candle calls a custom op's `bwd` once, after all consumers of its result. The real gradients do
//! not travel with candle's: a link's own gradient is a zero that only keeps candle going, while
//! the activation's gradient waits in the link's slot.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Shape, Storage, Tensor, Var};

use crate::gradient::Slot;
use crate::{Activation, Error, Result};

/// The scalar that stands for an activation, and the slot of its gradient.
#[derive(Clone)]
pub(crate) struct Link {
    scalar: Tensor,
    slot: Slot,
}

/// Whether candle tracks gradients for a tensor.
pub(crate) fn is_tracked(tensor: &Tensor) -> bool {
    tensor.track_op()
}

/// What an operation gives back for a gradient of its output.
pub(crate) struct Gradients {
    /// For each input, in order; `None` where it was not asked for, and none at all where they have
    /// been added already.
    pub(crate) inputs: Vec<Option<Tensor>>,
    /// For each parameter, in order; `None` where it was not asked for.
    pub(crate) parameters: Vec<Option<Tensor>>,
}

impl Link {
    /// Runs the backward pass from here, given the gradient of this link's activation.
    pub(crate) fn backward(&self, gradient: Tensor) -> Result<GradStore> {
        self.slot.add(gradient)?;
        Ok(self.scalar.backward()?)
    }

    /// The beginning of a graph of its own for the same activation: gradients that arrive there are
    /// added here.
    pub(crate) fn apart(&self) -> Result<Self> {
        let scalar = Var::zeros(1, DType::F32, self.scalar.device())?.into_inner();
        Ok(Self { scalar, slot: self.slot.clone() })
    }
}

impl Gradients {
    /// For an operation of one input without parameters.
    pub(crate) fn input(gradient: Tensor) -> Self {
        Self { inputs: vec![Some(gradient)], parameters: Vec::new() }
    }
}

/// Which gradients an operation has to give; each of its inputs and parameters in order.
pub(crate) struct Needs {
    pub(crate) inputs: Vec<bool>,
    pub(crate) parameters: Vec<bool>,
}

impl Needs {
    pub(crate) fn of(inputs: &[&Activation], parameters: &[&Tensor]) -> Self {
        let training = inputs.iter().all(|input| input.pass().differentiates());
        Self {
            inputs: inputs.iter().map(|input| training && input.link().is_some()).collect(),
            parameters: parameters.iter().map(|p| training && is_tracked(p)).collect(),
        }
    }

    /// Whether a backward pass has anything to do here.
    pub(crate) fn any(&self) -> bool {
        self.inputs.iter().chain(&self.parameters).any(|&need| need)
    }
}

/// The output of an operation whose inputs and parameters have gradients to get; its axes mean what
/// those of the first input do, unless the operation says otherwise.
///
/// `backward` turns the output's gradient into theirs; it owns what the operation keeps.
pub(crate) fn output(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    backward: impl FnOnce(Tensor) -> Result<Gradients> + Send + 'static,
) -> Result<Activation> {
    let of_inputs: Vec<Option<Link>> = inputs.iter().map(|input| input.link().cloned()).collect();
    let of_parameters: Vec<Option<Link>> = parameters
        .iter()
        .map(|parameter| is_tracked(parameter).then(|| enter(parameter)).transpose())
        .collect::<Result<_>>()?;
    let scalars: Vec<&Tensor> =
        of_inputs.iter().chain(&of_parameters).flatten().map(|link| &link.scalar).collect();
    let argument = match scalars[..] {
        [scalar] => scalar.clone(),
        _ => Tensor::cat(&scalars, 0)?,
    };
    let slots = |links: Vec<Option<Link>>| links.into_iter().map(|l| l.map(|l| l.slot)).collect();
    let slot = Slot::default();
    let op = Operation {
        name,
        output: slot.clone(),
        inputs: slots(of_inputs),
        parameters: slots(of_parameters),
        backward: Mutex::new(Some(Box::new(backward))),
    };
    let link = Link { scalar: argument.apply_op1(op)?, slot };
    Ok(Activation::new(data, inputs[0].shared_pass(), Some(link), inputs[0].axes()))
}

/// The output of an operation that has no gradients to give; its axes mean what those of `input` do,
/// unless the operation says otherwise.
pub(crate) fn constant(data: Tensor, input: &Activation) -> Activation {
    Activation::new(data, input.shared_pass(), None, input.axes())
}

type Backward = Box<dyn FnOnce(Tensor) -> Result<Gradients> + Send>;

/// An operation in candle's graph. Its argument is the links of all that has gradients to get.
struct Operation {
    name: &'static str,
    output: Slot,
    inputs: Vec<Option<Slot>>,
    parameters: Vec<Option<Slot>>,
    backward: Mutex<Option<Backward>>,
}

impl Operation {
    /// Turns the gradient in the output's slot into those in the slots of inputs and parameters.
    fn run(&self) -> Result<()> {
        let backward = self.backward.lock().unwrap_or_else(PoisonError::into_inner).take();
        let backward = backward.ok_or(Error::SecondBackward { op: self.name })?;
        let Some(gradient) = self.output.take() else {
            return Ok(()); // Nothing reached this output: all its gradients are zero.
        };
        let gradients = backward(gradient)?;
        for (slot, gradient) in self.inputs.iter().zip(gradients.inputs) {
            if let (Some(slot), Some(gradient)) = (slot, gradient) {
                slot.add(gradient)?;
            }
        }
        for (slot, gradient) in self.parameters.iter().zip(gradients.parameters) {
            if let (Some(slot), Some(gradient)) = (slot, gradient) {
                slot.add(gradient)?;
            }
        }
        Ok(())
    }
}

/// The value of every link.
fn zero() -> candle_core::Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
}

/// The value of every link, on a GPU.
fn zero_beside(storage: &CudaStorage) -> candle_core::Result<(CudaStorage, Shape)> {
    let shape = Shape::from(1);
    Ok((storage.device().zeros_impl(&shape, DType::F32)?, shape))
}

impl CustomOp1 for Operation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        zero()
    }

    fn cuda_fwd(&self, s: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        zero_beside(s)
    }

    fn bwd(&self, links: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.run()?;
        Ok(Some(links.zeros_like()?))
    }
}

/// The link of a tensor that candle tracks.
pub(crate) fn enter(tensor: &Tensor) -> Result<Link> {
    let slot = Slot::default();
    let scalar = tensor.apply_op1(Enter { slot: slot.clone() })?;
    Ok(Link { scalar, slot })
}

struct Enter {
    slot: Slot,
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
        Ok(Some(match self.slot.take() {
            Some(gradient) => gradient,
            None => tensor.zeros_like()?,
        }))
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
        self.slot.add(grad.clone())?;
        Ok(Some(link.zeros_like()?))
    }
}
