//! Train with compressed activations and see what it does to the gradients.
//!
//! Packlight trains networks on candle while keeping only compressed copies of the activations
//! that the backward pass needs, and shows, layer by layer, what that does to the gradients, the
//! memory, the time and the accuracy. This crate hands on the crates that it is made of:
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use packlight::autograd::{Activation, Ledger, Pass};
//! use packlight::nn::model::Architecture;
//! use packlight::nn::{Model, ModelSpec, Module, Plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = ModelSpec { width: Some(4), ..ModelSpec::new(Architecture::Resnet18) };
//! let model = Model::new(&spec.for_images(1, 16, 10)?, 0, DType::F32, &Device::Cpu)?;
//! let images = Tensor::ones((2, 1, 16, 16), DType::F32, &Device::Cpu)?;
//! let labels = Tensor::new(&[3u32, 7], &Device::Cpu)?;
//!
//! let mut kept = Vec::new();
//! for plan in ["none", "pool2"] {
//!     Plan::parse(plan)?.apply(model.layers())?;
//!     let ledger = Ledger::new();
//!     let pass = Pass::training().with_ledger(&ledger);
//!     let logits = model.forward(&Activation::from_tensor(&images, &pass)?)?;
//!     let loss = model.loss(&logits, &labels)?.into_tensor()?;
//!     let gradients = loss.backward()?; // candle's own, for any of candle-nn's optimizers
//!     assert!(gradients.get(&model.parameters().vars()[0]).is_some());
//!     kept.push(ledger.peak());
//! }
//! assert!(kept[1] < kept[0]);
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
pub use packlight_study as study;
