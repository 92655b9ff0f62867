//! Train with compressed activations and see what it does to the gradients.
//!
//! Packlight trains networks on candle while keeping only compressed copies of the activations
//! that the backward pass needs, and shows, layer by layer, what that does to the gradients, the
//! memory, the time and the accuracy. This crate hands on the crates that it is made of:
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::Optimizer;
//! use packlight::autograd::{Ledger, Pass};
//! use packlight::nn::model::{Inputs, Resnet18};
//! use packlight::nn::optimizer::{Sgd, SgdConfig};
//! use packlight::nn::{Model, ModelSpec, Plan, codec_state};
//! use packlight::probe::calibrate;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const SEED: u64 = 0;
//! const STEPS: u64 = 5;
//! let spec = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
//! let spec = spec.for_images(1, 16, 10)?;
//! let images = Tensor::arange(0f32, 512.0, &Device::Cpu)?.sin()?.reshape((2, 1, 16, 16))?;
//! let (images, labels) = (Inputs::Images(images), Tensor::new(&[3u32, 7], &Device::Cpu)?);
//!
//! let mut kept = Vec::new();
//! for plan in ["none", "gact:4"] {
//!     let model = Model::planned(&spec, &Plan::parse(plan)?, SEED, DType::F32, &Device::Cpu)?;
//!     let mut sgd = Sgd::for_parameters(model.parameters(), SgdConfig::default())?;
//!     let loss = |pass: &Pass| -> packlight::nn::Result<Tensor> {
//!         Ok(model.loss(&model.logits(&images, pass)?, &labels)?.into_tensor()?)
//!     };
//!     let mut losses = Vec::new();
//!     for step in 0..STEPS {
//!         // Random numbers, of dropout and of rounding, are a function of the seed and the step.
//!         let ledger = Ledger::new();
//!         let pass = Pass::training().with_seed(SEED, step).with_ledger(&ledger);
//!         // Codecs that share out bits or ranks measure when they ask for it, on this batch ...
//!         calibrate(model.parameters(), &Pass::training().with_seed(SEED, step), loss, step, STEPS)?;
//!         let value = loss(&pass)?;
//!         sgd.step(&value.backward()?)?; // candle's own gradients, for any of its optimizers
//!         // ... and share out what they may take in the next step.
//!         codec_state::allocate(model.save_points())?;
//!         losses.push(value.to_scalar::<f32>()?);
//!         kept.push(ledger.peak());
//!     }
//!     assert!(losses[4] < losses[0]);
//! }
//! // From the second step on, four bits on average stand for 32.
//! assert!(3 * kept[9] < kept[4]);
//! # Ok(())
//! # }
//! ```

pub use packlight_autograd as autograd;
pub use packlight_codec as codec;
pub use packlight_figure as figure;
pub use packlight_kernels as kernels;
pub use packlight_nn as nn;
pub use packlight_probe as probe;
pub use packlight_record as record;
pub use packlight_report as report;
pub use packlight_spec as spec;
pub use packlight_study as study;
