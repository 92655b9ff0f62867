//! Links: the scalars that stand for activations in candle's graph.
//!
//! Candle calls a custom op's `bwd` once, after all consumers of its result. The real gradients do
//! not travel with candle's: a link's own gradient is a zero that only keeps candle going, while
//! the activation's gradient waits in the link's slot.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Shape, Storage, Tensor,
};

use crate::gradient::{Gradient, Slot};
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
    /// For each input, in order; `None` where it was not asked for.
    pub(crate) inputs: Vec<Option<Gradient>>,
    /// For each parameter, in order; `None` where it was not asked for.
    pub(crate) parameters: Vec<Option<Tensor>>,
}

impl Gradients {
    /// For an operation of one input without parameters.
    pub(crate) fn input(gradient: Gradient) -> Self {
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
        let training = inputs.iter().all(|input| input.pass().is_training());
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

/// The output of an operation whose inputs and parameters have gradients to get.
///
/// `backward` turns the output's gradient into theirs; it owns what the operation keeps.
pub(crate) fn output(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    backward: impl FnOnce(Gradient) -> Result<Gradients> + Send + 'static,
) -> Result<Activation> {
    let slot = Slot::default();
    let links: Vec<Option<&Link>> = inputs.iter().map(|input| input.link()).collect();
    let op = Operation {
        name,
        output: slot.clone(),
        inputs: links.iter().map(|link| link.map(|link| link.slot.clone())).collect(),
        tracked: parameters.iter().map(|parameter| is_tracked(parameter)).collect(),
        backward: Mutex::new(Some(Box::new(backward))),
    };
    let scalars = links.iter().flatten().map(|link| &link.scalar);
    let parameters = parameters.iter().copied().filter(|parameter| is_tracked(parameter));
    let arguments: Vec<&Tensor> = scalars.chain(parameters).collect();
    let scalar = match arguments[..] {
        [a] => a.apply_op1(op)?,
        [a, b] => a.apply_op2(b, op)?,
        [a, b, c] => a.apply_op3(b, c, op)?,
        _ => {
            let reason =
                format!("one to three tracked arguments expected, {} found", arguments.len());
            return Err(Error::Shape { op: name, reason });
        }
    };
    let pass = inputs[0].shared_pass();
    Ok(Activation::new(data, pass, Some(Link { scalar, slot })))
}

/// The output of an operation that has no gradients to give.
pub(crate) fn constant(data: Tensor, input: &Activation) -> Activation {
    Activation::new(data, input.shared_pass(), None)
}

type Backward = Box<dyn FnOnce(Gradient) -> Result<Gradients> + Send>;

/// An operation in candle's graph. Its arguments are the links of those inputs that have one, then
/// the tracked parameters.
struct Operation {
    name: &'static str,
    output: Slot,
    inputs: Vec<Option<Slot>>,
    tracked: Vec<bool>,
    backward: Mutex<Option<Backward>>,
}

impl Operation {
    /// The gradients of the arguments; those of the inputs themselves go to their slots.
    fn run(&self, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
        let backward = self.backward.lock().unwrap_or_else(PoisonError::into_inner).take();
        let backward = backward.ok_or(Error::SecondBackward { op: self.name })?;
        let zeros = |tensor: &&Tensor| Ok(tensor.zeros_like()?);
        let Some(gradient) = self.output.take() else {
            // Nothing reached this output: all its gradients are zero.
            return arguments.iter().map(zeros).collect();
        };
        let gradients = backward(gradient)?;
        for (slot, gradient) in self.inputs.iter().zip(gradients.inputs) {
            if let (Some(slot), Some(gradient)) = (slot, gradient) {
                slot.add(gradient)?;
            }
        }
        let links = self.inputs.iter().flatten().count();
        let mut results: Vec<Tensor> =
            arguments[..links].iter().map(zeros).collect::<Result<_>>()?;
        let parameters = gradients.parameters.into_iter().zip(&self.tracked);
        for (gradient, _) in parameters.filter(|(_, tracked)| **tracked) {
            match gradient {
                Some(gradient) => results.push(gradient),
                None => results.push(arguments[results.len()].zeros_like()?),
            }
        }
        Ok(results)
    }
}

/// The value of every link.
fn zero() -> candle_core::Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
}

/// The value of every link, on a GPU.
fn zero_beside(storage: &CudaStorage) -> candle_core::Result<(CudaStorage, Shape)> {
    let shape = Shape::from(());
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

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(self.run(&[a])?.pop())
    }
}

impl CustomOp2 for Operation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        zero()
    }

    fn cuda_fwd(
        &self,
        s: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        zero_beside(s)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let mut results = self.run(&[a, b])?.into_iter();
        Ok((results.next(), results.next()))
    }
}

impl CustomOp3 for Operation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        zero()
    }

    fn cuda_fwd(
        &self,
        s: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        zero_beside(s)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut results = self.run(&[a, b, c])?.into_iter();
        Ok((results.next(), results.next(), results.next()))
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
            Some(gradient) => gradient.tensor,
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
        self.slot.add(Gradient::shared(grad.clone()))?;
        Ok(Some(link.zeros_like()?))
    }
}
