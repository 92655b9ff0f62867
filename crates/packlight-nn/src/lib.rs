//! Layers, networks with PyTorch's parameter names, plans, optimizers, schedules and the training
//! step.
//!
//! A network is made of [`layer`]s under the names of a [`Builder`]. Its [`Parameters`] hold candle
//! `Var`s, so that candle's `loss.backward()` and candle-nn's optimizers work on them as on any
//! others. Its save points are what a [`Plan`] gives codecs to, and a [`Trainer`] takes its training
//! steps; [`Steps`] does so for a loop of one's own.
//!
//! This crate knows nothing of data sets, and of no file but weights.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use packlight_nn::model::Resnet18;
//! use packlight_nn::prelude::*;
//!
//! # fn main() -> packlight_nn::Result<()> {
//! let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
//! let plan = Plan::parse("layer3.*=pool4,default=pool2")?;
//! let model = Model::planned(&spec.for_images(1, 16, 10)?, &plan, 0, DType::F32, &Device::Cpu)?;
//! let sgd = Sgd::for_parameters(model.parameters(), SgdConfig::default())?;
//! let mut trainer = Trainer::new(model.parameters(), sgd, 0, 3);
//!
//! let images = Inputs::Images(Tensor::zeros((2, 1, 16, 16), DType::F32, &Device::Cpu)?);
//! let labels = Tensor::new(&[3u32, 7], &Device::Cpu)?;
//! for _ in 0..3 {
//!     let loss = trainer.step(|pass| {
//!         model.loss(&model.logits(&images, pass)?, &labels)
//!     })?;
//!     assert!(loss.is_finite());
//! }
//! # Ok(())
//! # }
//! ```

pub mod builder;
pub mod codec_state;
pub mod course;
pub mod footprint;
pub mod layer;
pub mod model;
pub mod optimizer;
pub mod parameters;
pub mod plan;
pub mod prelude;
pub mod steps;
pub mod trainer;
pub mod weights;

mod calibration;
mod checkpointed;
mod error;
mod init;

pub use builder::Builder;
pub use error::{Error, Result};
pub use footprint::Footprint;
pub use init::{Fan, Init};
pub use layer::Module;
pub use model::{Model, ModelSpec};
pub use packlight_spec::{Checkpointing, Fault, MemoryStrategy, Schedule};
pub use parameters::{Block, Parameters};
pub use plan::Plan;
pub use steps::{Steps, gradients};
pub use trainer::Trainer;

#[doc(hidden)]
pub use toml; // which `options!` names
