//! In-place optimizer updates, in one pass over each tensor.

use candle_core::{CpuStorage, InplaceOp3, Layout, Tensor};
use rayon::prelude::*;

use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::tensor_io::on_cpu;
use crate::{Error, Result};

const KERNEL: &str = "optimizer";

/// Elements per parallel task.
const PIECE: usize = 32 * 1024;

/// Stochastic gradient descent, as PyTorch defines it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum: the fraction of the velocity that is kept.
    pub momentum: f64,
    /// Weight decay: the fraction of the parameter added to its gradient.
    pub weight_decay: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
}

impl Sgd {
    /// One step, with `d = grad + weight_decay * parameter`: `velocity = momentum * velocity + d`,
    /// then `parameter -= learning_rate * velocity` (Nesterov: `d + momentum * velocity`).
    ///
    /// # Errors
    /// Returns an error if the shapes or types differ, or the device is not supported.
    pub fn step(&self, parameter: &Tensor, velocity: &Tensor, grad: &Tensor) -> Result<()> {
        check(parameter, &[velocity, grad])?;
        on_cuda!(parameter => optimizer::sgd(self, parameter, velocity, grad));
        on_cpu(parameter, KERNEL)?;
        let grad = grad.contiguous()?;
        velocity.inplace_op3(&grad, parameter, &Velocity(*self))?;
        // Without momentum the velocity is the decayed gradient itself.
        Ok(parameter.inplace_op3(velocity, &grad, &Parameter(*self))?)
    }
}

struct Velocity(Sgd);

impl InplaceOp3 for Velocity {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        velocity: &mut CpuStorage,
        velocity_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
        parameter: &CpuStorage,
        parameter_layout: &Layout,
    ) -> candle_core::Result<()> {
        let all = (velocity, velocity_layout, grad, grad_layout, parameter, parameter_layout);
        match grad {
            CpuStorage::F32(_) => update::<f32>(all, |v, g, p| self.velocity(v, g, p)),
            _ => update::<f64>(all, |v, g, p| self.velocity(v, g, p)),
        }
    }
}

impl Velocity {
    fn velocity<T: Element>(&self, velocity: T, grad: T, parameter: T) -> T {
        let decayed = grad + T::narrow(self.0.weight_decay) * parameter;
        T::narrow(self.0.momentum) * velocity + decayed
    }
}

struct Parameter(Sgd);

impl InplaceOp3 for Parameter {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        parameter_layout: &Layout,
        velocity: &CpuStorage,
        velocity_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> candle_core::Result<()> {
        let all = (parameter, parameter_layout, velocity, velocity_layout, grad, grad_layout);
        match grad {
            CpuStorage::F32(_) => update::<f32>(all, |p, v, g| self.parameter(p, v, g)),
            _ => update::<f64>(all, |p, v, g| self.parameter(p, v, g)),
        }
    }
}

impl Parameter {
    fn parameter<T: Element>(&self, parameter: T, velocity: T, grad: T) -> T {
        let direction = if self.0.nesterov {
            let decayed = grad + T::narrow(self.0.weight_decay) * parameter;
            decayed + T::narrow(self.0.momentum) * velocity
        } else {
            velocity
        };
        parameter - T::narrow(self.0.learning_rate) * direction
    }
}

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), rounded as
/// candle-nn's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub learning_rate: f64,
    /// The fractions of the first and the second moment that are kept.
    pub betas: (f64, f64),
    /// What is added to the deviation.
    pub epsilon: f64,
    /// Weight decay: the fraction of the parameter that is subtracted, times the learning rate.
    pub weight_decay: f64,
    /// The number of the step, from 1.
    pub step: u32,
}

impl AdamW {
    /// One step, which also updates the moments: with `t` the number of the step,
    /// `m = beta1 * m + (1 - beta1) * grad`, `v = beta2 * v + (1 - beta2) * grad^2`, then
    /// `parameter = (1 - learning_rate * weight_decay) * parameter
    /// - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)`.
    ///
    /// # Errors
    /// Returns an error if the shapes or types differ, or the device is not supported.
    pub fn step(
        &self,
        parameter: &Tensor,
        (m, v): (&Tensor, &Tensor),
        grad: &Tensor,
    ) -> Result<()> {
        check(parameter, &[m, v, grad])?;
        on_cuda!(parameter => optimizer::adamw(self, parameter, (m, v), grad));
        on_cpu(parameter, KERNEL)?;
        let grad = grad.contiguous()?;
        m.inplace_op3(&grad, &grad, &Mean { kept: self.betas.0, squares: false })?;
        v.inplace_op3(&grad, &grad, &Mean { kept: self.betas.1, squares: true })?;
        Ok(parameter.inplace_op3(m, v, &Descent(*self))?)
    }
}

/// A running mean of gradients or of their squares.
struct Mean {
    kept: f64,
    squares: bool,
}

impl InplaceOp3 for Mean {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        mean: &mut CpuStorage,
        mean_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
        again: &CpuStorage,
        again_layout: &Layout,
    ) -> candle_core::Result<()> {
        let all = (mean, mean_layout, grad, grad_layout, again, again_layout);
        match grad {
            CpuStorage::F32(_) => update::<f32>(all, self.rule()),
            _ => update::<f64>(all, self.rule()),
        }
    }
}

impl Mean {
    fn rule<T: Element>(&self) -> impl Fn(T, T, T) -> T + Sync {
        let (kept, new) = (T::narrow(self.kept), T::narrow(1.0 - self.kept));
        let squares = self.squares;
        move |mean, grad, _| mean * kept + if squares { grad * grad } else { grad } * new
    }
}

struct Descent(AdamW);

impl InplaceOp3 for Descent {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        parameter_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<()> {
        let all = (parameter, parameter_layout, m, m_layout, v, v_layout);
        match m {
            CpuStorage::F32(_) => update::<f32>(all, self.rule()),
            _ => update::<f64>(all, self.rule()),
        }
    }
}

impl Descent {
    fn rule<T: Element>(&self) -> impl Fn(T, T, T) -> T + Sync {
        let AdamW { learning_rate, betas, epsilon, weight_decay, step } = self.0;
        let scale = |beta: f64| T::narrow(1.0 / (1.0 - beta.powi(step as i32)));
        let (of_m, of_v) = (scale(betas.0), scale(betas.1));
        let decay = T::narrow(1.0 - learning_rate * weight_decay);
        let (rate, epsilon) = (T::narrow(learning_rate), T::narrow(epsilon));
        move |parameter, m, v| {
            let direction = m * of_m / ((v * of_v).sqrt() + epsilon);
            parameter * decay - direction * rate
        }
    }
}

/// Returns an error if one of the others differs from the parameter.
fn check(parameter: &Tensor, others: &[&Tensor]) -> Result<()> {
    for other in others {
        if parameter.dims() != other.dims() || parameter.dtype() != other.dtype() {
            return Err(Error::shape(
                KERNEL,
                format!(
                    "parameter {:?} {:?} and its gradient or state {:?} {:?} differ",
                    parameter.dtype(),
                    parameter.dims(),
                    other.dtype(),
                    other.dims()
                ),
            ));
        }
    }
    Ok(())
}

type Operands<'a> =
    (&'a mut CpuStorage, &'a Layout, &'a CpuStorage, &'a Layout, &'a CpuStorage, &'a Layout);

/// `target = f(target, a, b)` for each element.
fn update<T: Element>(
    (target, target_layout, a, a_layout, b, b_layout): Operands<'_>,
    f: impl Fn(T, T, T) -> T + Sync,
) -> candle_core::Result<()> {
    let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
    let (Some(target), Some(to), Some(from_a), Some(from_b)) = (
        T::elements_mut(target),
        target_layout.contiguous_offsets(),
        a_layout.contiguous_offsets(),
        b_layout.contiguous_offsets(),
    ) else {
        candle_core::bail!("{KERNEL}: contiguous tensors of one type expected")
    };
    target[to.0..to.1]
        .par_chunks_mut(PIECE)
        .zip(a[from_a.0..from_a.1].par_chunks(PIECE).zip(b[from_b.0..from_b.1].par_chunks(PIECE)))
        .for_each(|(target, (a, b))| {
            for (target, (&a, &b)) in target.iter_mut().zip(a.iter().zip(b)) {
                *target = f(*target, a, b);
            }
        });
    Ok(())
}
