//! Train with compressed activations and see what it does to the gradients.
//!
//! Packlight trains networks on candle while keeping only compressed copies of the activations
//! that the backward pass needs, and shows, layer by layer, what that does to the gradients, the
//! memory, the time and the accuracy. [`prelude`] has what a training program needs, [`Error`] takes
//! whatever `?` meets, and the modules are the crates that Packlight is made of.
//!
//! ```
//! use packlight::prelude::*;
//!
//! fn main() -> packlight::Result<()> {
//!     // A network of one's own, and what its layers save for the backward pass.
//!     let builder = Builder::new(0, DType::F32, &Device::Cpu)?;
//!     let net = Sequential::new()
//!         .add(Conv2d::new(&builder.pp("conv"), 1, 16, 3)?)
//!         .add(BatchNorm2d::new(&builder.pp("norm"), 16)?)
//!         .add(Relu::new(&builder.pp("relu"))?)
//!         .add(GlobalAvgPool2d)
//!         .add(Linear::new(&builder.pp("fc"), 16, 10)?);
//!     let criterion = CrossEntropy::new(&builder.pp("loss"))?;
//!     let parameters = builder.finish();
//!     Plan::parse("conv=pool2,norm=q4")?.apply(parameters.save_points())?;
//!
//!     let images = Tensor::arange(0f32, 512.0, &Device::Cpu)?.sin()?.reshape((2, 1, 16, 16))?;
//!     let labels = Tensor::new(&[3u32, 7], &Device::Cpu)?;
//!
//!     let sgd = Sgd::for_parameters(&parameters, SgdConfig::default())?;
//!     let mut trainer = Trainer::new(&parameters, sgd, 0, 20);
//!     let mut losses = Vec::new();
//!     for _ in 0..20 {
//!         let loss = trainer.step(|pass| criterion.loss(&net.forward_in(pass, &images)?, &labels));
//!         losses.push(loss?);
//!     }
//!     assert!(losses[19] < 0.5 * losses[0]);
//!     Ok(())
//! }
//! ```
//!
//! Candle's own loop stays as it is, but for one line: [`nn::Steps::begin`] gives each step its pass.

pub use packlight_allocation as allocation;
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

mod error;

pub use error::{Error, Result};

/// What a program that trains a network needs: `use packlight::prelude::*`.
pub mod prelude {
    pub use packlight_nn::prelude::*;
}
