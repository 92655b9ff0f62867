//! Activations and links: differentiable operations that save only packed tensors for the backward
//! pass, inside candle's own autograd.
//!
//! Candle's graph keeps the input of every operation until the loss is dropped. So the data stays
//! out of it: an [`Activation`] holds its data as a detached tensor, and a *link*, a scalar tensor
//! that stands for it in candle's graph. An operation owns what its gradient needs, packed by the
//! codec of a [`SavePoint`], and frees it as soon as the backward pass has used it. `loss.backward()`
//! is candle's own, and so is the `GradStore` that it returns. [`operation`] is for operations of your
//! own.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use packlight_autograd::{Activation, SavePoint, Pass, op};
//! use packlight_record::LayerKind;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weight = Var::from_tensor(&Tensor::ones((3, 4), DType::F32, &Device::Cpu)?)?;
//! let save_point = SavePoint::new("fc", LayerKind::Linear);
//! let input = Tensor::ones((2, 4), DType::F32, &Device::Cpu)?;
//!
//! let x = Activation::from_tensor(&input, &Pass::training())?;
//! let y = op::linear(&x, &weight, None, &save_point)?.into_tensor()?;
//! let grads = y.sum_all()?.backward()?;
//! assert_eq!(grads.get(&weight).map(|grad| grad.dims().to_vec()), Some(vec![3, 4]));
//! # Ok(())
//! # }
//! ```

pub mod allocator;
pub mod gradcheck;
pub mod op;
pub mod operation;

mod activation;
mod alive;
mod blank;
mod counted;
mod counter;
mod eager;
mod error;
mod gradient;
mod ledger;
mod link;
mod observer;
mod pass;
mod product;
mod save_point;
mod saved;
mod saved_input;
mod step_peak;

pub use activation::Activation;
pub use counter::Counter;
pub use eager::EagerUpdates;
pub use error::{Error, Result};
pub use ledger::{Entry, Event, Ledger};
pub use observer::{Attempt, Observer, SavedTensor, WeightGradient};
pub use packlight_codec::{AxisLayout, Op};
pub use pass::Pass;
pub use product::{Product, Stream};
pub use save_point::SavePoint;
pub use saved::Saved;
pub use saved_input::SavedInput;
pub use step_peak::StepPeak;
