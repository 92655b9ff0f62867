//! Operations in candle's graph, those of this crate and your own.
//!
//! An operation computes its output, saves what its gradient needs, and gives both to [`output`] with
//! a closure that turns the gradient of the output into those of the inputs and parameters. Here is
//! `x^2`, which saves `x` with the codec of a save point:
//!
//! ```
//! use std::sync::Arc;
//!
//! use candle_core::{Device, Var};
//! use packlight_autograd::operation::{self, Gradients, Needs};
//! use packlight_autograd::{Activation, Op, Pass, Result, SavePoint};
//! use packlight_record::LayerKind;
//!
//! fn square(x: &Activation, save_point: &Arc<SavePoint>) -> Result<Activation> {
//!     const OP: Op<'_> = Op::Custom("square");
//!     let data = x.data().sqr()?;
//!     if !Needs::of(&[x], &[]).any() {
//!         return Ok(operation::constant(data, x)); // nothing is saved
//!     }
//!     let input = x.save(save_point, OP)?;
//!     operation::output("square", data, &[x], &[], move |grad| {
//!         // Straight from the packed copy where its codec knows how, else from the unpacked tensor.
//!         Ok(Gradients::input(input.gradient(OP, &grad, |x| (x * 2.0)?.mul(&grad))?))
//!     })
//! }
//!
//! let x = Var::new(&[[3f32, -1.0]], &Device::Cpu)?;
//! let save_point = SavePoint::new("square", LayerKind::Activation);
//! save_point.set_codec(packlight_codec::parse("bf16")?);
//! let y = square(&Activation::from_tensor(&x, &Pass::training())?, &save_point)?;
//! let grads = y.into_tensor()?.sum_all()?.backward()?;
//! assert_eq!(grads.get(&x).map(|grad| grad.to_vec2::<f32>()).transpose()?, Some(vec![vec![6.0, -2.0]]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Shape, Tensor};
use packlight_kernels::blank::is_blank;
use packlight_kernels::conv2d::Workspace;

use crate::counted::counted;
use crate::gradient::{Gradient, Slot};
use crate::link::{self, Link};
use crate::{Activation, Error, Ledger, Result};

/// What an operation returns for a gradient of its output.
#[derive(Debug, Default)]
pub struct Gradients {
    /// For each input, in order; `None` where it is not needed. Empty where the operation has passed
    /// them on itself.
    pub inputs: Vec<Option<Tensor>>,
    /// For each parameter, in order; `None` where it is not needed.
    pub parameters: Vec<Option<Tensor>>,
}

impl Gradients {
    /// For an operation of one input without parameters.
    pub fn input(gradient: Tensor) -> Self {
        Self { inputs: vec![Some(gradient)], parameters: Vec::new() }
    }
}

/// The gradients that an operation has to compute: for each of its inputs and parameters in order,
/// whether anything asks for it.
#[derive(Debug)]
pub struct Needs {
    /// For each input.
    pub inputs: Vec<bool>,
    /// For each parameter; those of a frozen layer are to be detached first.
    pub parameters: Vec<bool>,
}

impl Needs {
    /// Looks at an operation's inputs and parameters.
    pub fn of(inputs: &[&Activation], parameters: &[&Tensor]) -> Self {
        let training = inputs.iter().all(|input| input.pass().differentiates());
        Self {
            inputs: inputs.iter().map(|input| training && input.link().is_some()).collect(),
            parameters: parameters.iter().map(|p| training && link::is_tracked(p)).collect(),
        }
    }

    /// Whether a backward pass has anything to do here; where not, an operation saves nothing.
    pub fn any(&self) -> bool {
        self.inputs.iter().chain(&self.parameters).any(|&need| need)
    }
}

/// The output of an operation some of whose inputs and parameters need gradients. Its axes mean what
/// those of the first input do; [`Activation::with_axes`] says otherwise.
///
/// `backward` turns the output's gradient into theirs. It owns what the operation has saved, and is
/// called at most once.
///
/// # Errors
/// Returns an error if there is no input, or candle cannot make the link.
pub fn output(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    backward: impl FnOnce(Tensor) -> Result<Gradients> + Send + 'static,
) -> Result<Activation> {
    let backward = Backward::Plain(Box::new(backward));
    output_with(name, data, inputs, parameters, Workspace::default(), backward)
}

/// [`output_owning`] of an operation whose backward pass has a workspace.
pub(crate) fn output_working(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    workspace: Workspace,
    backward: impl FnOnce(Gradient) -> Result<Gradients> + Send + 'static,
) -> Result<Activation> {
    let backward = Backward::Owning(Box::new(backward));
    output_with(name, data, inputs, parameters, workspace, backward)
}

/// Like [`output`], for an operation whose gradients of inputs are new contiguous tensors, which it no
/// longer holds. Where it owns the gradient of its output, it may write one of them over that.
pub(crate) fn output_owning(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    backward: impl FnOnce(Gradient) -> Result<Gradients> + Send + 'static,
) -> Result<Activation> {
    let backward = Backward::Owning(Box::new(backward));
    output_with(name, data, inputs, parameters, Workspace::default(), backward)
}

/// [`output`] whose backward pass also runs for blanks.
pub(crate) fn output_of_any(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    backward: impl FnOnce(Tensor) -> Result<Gradients> + Send + 'static,
) -> Result<Activation> {
    linked(name, data, inputs, parameters, Backward::Plain(Box::new(backward)))
}

fn output_with(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    workspace: Workspace,
    backward: Backward,
) -> Result<Activation> {
    let backward = match is_blank(&data) {
        false => backward,
        true => counted(name, &data, inputs, parameters, workspace, backward),
    };
    linked(name, data, inputs, parameters, backward)
}

fn linked(
    name: &'static str,
    data: Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    backward: Backward,
) -> Result<Activation> {
    let Some(first) = inputs.first() else {
        return Err(Error::Shape { op: name, reason: "an operation needs an input".into() });
    };
    if !Needs::of(inputs, parameters).any() {
        return Ok(constant(data, first));
    }
    let of_inputs: Vec<Option<Link>> = inputs.iter().map(|input| input.link().cloned()).collect();
    let of_parameters: Vec<Option<Link>> = parameters
        .iter()
        .map(|parameter| {
            link::is_tracked(parameter).then(|| link::enter(parameter, first.pass())).transpose()
        })
        .collect::<Result<_>>()?;
    let scalars: Vec<&Tensor> =
        of_inputs.iter().chain(&of_parameters).flatten().map(|link| &link.scalar).collect();
    let argument = match scalars[..] {
        [scalar] => scalar.clone(),
        _ => Tensor::cat(&scalars, 0)?,
    };
    let receiver = |(tensor, link): (&Tensor, Option<Link>)| Receiver {
        slot: link.map(|link| link.slot),
        shape: tensor.shape().clone(),
        dtype: tensor.dtype(),
    };
    let slot = Slot::default();
    let op = Operation {
        name,
        ledger: first.pass().ledger().filter(|_| is_blank(&data)).cloned(),
        output: slot.clone(),
        inputs: inputs.iter().map(|input| input.values()).zip(of_inputs).map(receiver).collect(),
        parameters: parameters.iter().copied().zip(of_parameters).map(receiver).collect(),
        backward: Mutex::new(Some(backward)),
    };
    let link = Link { scalar: argument.apply_op1(op)?, slot };
    Ok(Activation::new(data, first.shared_pass(), Some(link), first.axes()))
}

/// The output of an operation that has no gradients to compute. Its axes mean what those of `input`
/// do; [`Activation::with_axes`] says otherwise.
pub fn constant(data: Tensor, input: &Activation) -> Activation {
    Activation::new(data, input.shared_pass(), None, input.axes())
}

/// Turns the gradient of an output into those of inputs and parameters.
pub(crate) enum Backward {
    /// What it returns, others may hold as well.
    Plain(Box<dyn FnOnce(Tensor) -> Result<Gradients> + Send>),
    /// It returns new tensors for inputs.
    Owning(Box<dyn FnOnce(Gradient) -> Result<Gradients> + Send>),
}

/// An operation in candle's graph. Its argument is the links of all that need gradients.
struct Operation {
    name: &'static str,
    /// Where gradients that wait in slots are counted, in a pass over blanks.
    ledger: Option<Ledger>,
    output: Slot,
    inputs: Vec<Receiver>,
    parameters: Vec<Receiver>,
    backward: Mutex<Option<Backward>>,
}

/// An input or parameter; its gradient goes to the slot, in its own type.
struct Receiver {
    slot: Option<Slot>,
    shape: Shape,
    dtype: DType,
}

impl Operation {
    /// Turns the gradient in the output's slot into those in the slots of inputs and parameters.
    fn run(&self) -> Result<()> {
        let backward = self.backward.lock().unwrap_or_else(PoisonError::into_inner).take();
        let backward = backward.ok_or(Error::SecondBackward { op: self.name })?;
        let Some(gradient) = self.output.take() else {
            return Ok(()); // Nothing reached this output: all its gradients are zero.
        };
        if let Some(ledger) = &self.ledger {
            ledger.wait(Some(gradient.tensor()), None);
        }
        let (Gradients { inputs, parameters }, held): (_, fn(Tensor) -> Gradient) = match backward {
            Backward::Plain(backward) => (backward(gradient.into_tensor())?, Gradient::Shared),
            Backward::Owning(backward) => (backward(gradient)?, Gradient::Owned),
        };
        if !inputs.is_empty() {
            self.pass_on("inputs", &self.inputs, inputs, held, self.ledger.as_ref())?;
        }
        self.pass_on("parameters", &self.parameters, parameters, Gradient::Shared, None)
    }

    fn pass_on(
        &self,
        what: &str,
        to: &[Receiver],
        gradients: Vec<Option<Tensor>>,
        held: fn(Tensor) -> Gradient,
        ledger: Option<&Ledger>,
    ) -> Result<()> {
        if gradients.len() != to.len() {
            let (found, expected) = (gradients.len(), to.len());
            let reason = format!("{found} gradients for {expected} {what}");
            return Err(Error::Shape { op: self.name, reason });
        }
        for (receiver, gradient) in to.iter().zip(gradients) {
            let (Some(slot), Some(gradient)) = (&receiver.slot, gradient) else { continue };
            if *gradient.shape() != receiver.shape {
                let (found, expected) = (gradient.shape(), &receiver.shape);
                let reason = format!(
                    "a gradient of shape {found:?} for one of the {what} of shape {expected:?}"
                );
                return Err(Error::Shape { op: self.name, reason });
            }
            let before = ledger.and_then(|_| slot.held());
            slot.add(held(gradient.to_dtype(receiver.dtype)?))?;
            if let Some(ledger) = ledger {
                ledger.wait(before.as_ref(), slot.held().as_ref());
            }
        }
        Ok(())
    }
}

impl CustomOp1 for Operation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        link::zero()
    }

    fn cuda_fwd(&self, s: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        link::zero_beside(s)
    }

    fn bwd(&self, links: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.run()?;
        Ok(Some(links.zeros_like()?))
    }
}
