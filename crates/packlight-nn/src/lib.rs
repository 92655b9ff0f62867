//! Layers, models with PyTorch's parameter names, plans, optimizers and schedules.
//!
//! A [`Model`] is made from a [`ModelSpec`] and a seed. Its [`Parameters`] hold candle `Var`s, so
//! that candle's `loss.backward()` and candle-nn's optimizers work on them as on any others; its
//! layers are what a [`Plan`] gives codecs to.
//!
//! This crate knows nothing of data sets and of no file but weights.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::Optimizer;
//! use packlight_autograd::Pass;
//! use packlight_nn::model::{Inputs, Model, ModelSpec, Resnet18};
//! use packlight_nn::optimizer::{Sgd, SgdConfig};
//! use packlight_nn::{Plan, codec_state};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
//! let plan = Plan::parse("layer3.*=pool4,default=pool2")?;
//! let model = Model::planned(&spec.for_images(1, 16, 10)?, &plan, 0, DType::F32, &Device::Cpu)?;
//! let mut sgd = Sgd::for_parameters(model.parameters(), SgdConfig::default())?;
//!
//! let images = Inputs::Images(Tensor::zeros((2, 1, 16, 16), DType::F32, &Device::Cpu)?);
//! let labels = Tensor::new(&[3u32, 7], &Device::Cpu)?;
//! for step in 0..3 {
//!     let pass = Pass::training().with_seed(0, step); // other random numbers at each step
//!     let loss = model.loss(&model.logits(&images, &pass)?, &labels)?.into_tensor()?;
//!     sgd.step(&loss.backward()?)?;
//!     codec_state::allocate(model.save_points())?; // what codecs share out among layers
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Codecs that measure first, such as `gact:4`, are told by `packlight_probe::calibrate` before a
//! step.

pub mod builder;
pub mod codec_state;
pub mod layer;
pub mod model;
pub mod optimizer;
pub mod parameters;
pub mod plan;
pub mod weights;

mod checkpointed;
mod error;
mod init;

pub use builder::Builder;
pub use error::{Error, Result};
pub use init::{Fan, Init};
pub use layer::Module;
pub use model::{Model, ModelSpec};
pub use packlight_spec::{Checkpointing, Fault, MemoryStrategy, Schedule};
pub use parameters::Parameters;
pub use plan::Plan;

#[doc(hidden)]
pub use toml; // which `options!` names
