//! Models that a study can name.

mod mlp;
mod resnet;
mod spec;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Layer, op};
use packlight_record::LayerKind;

pub use mlp::Mlp;
pub use resnet::ResNet;
pub use spec::{Architecture, ModelSpec, Stem};

use crate::{Arrangement, Builder, Module, Parameters, Plan, Result};

/// A classifier made from a specification: its network, its parameters and its loss.
pub struct Model {
    spec: ModelSpec,
    network: Box<dyn Module>,
    parameters: Parameters,
    loss: Arc<Layer>,
}

impl Model {
    /// Makes the model that `spec` describes, in `dtype` (f32 or f64) on `device`; the same seed
    /// gives the same initial parameters.
    ///
    /// # Errors
    /// If the specification makes no sense; the error names the key.
    pub fn new(spec: &ModelSpec, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        Self::arranged(spec, &Arrangement::default(), seed, dtype, device)
    }

    /// As [`Model::new`], put together and with the codecs and frozen layers as `plan` says.
    ///
    /// # Errors
    /// As [`Model::new`], or if the plan does not fit the model.
    pub fn planned(
        spec: &ModelSpec,
        plan: &Plan,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let model = Self::arranged(spec, plan.arrangement(), seed, dtype, device)?;
        plan.apply(model.layers())?;
        Ok(model)
    }

    fn arranged(
        spec: &ModelSpec,
        arrangement: &Arrangement,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let builder = Builder::new(seed, dtype, device)?;
        let network: Box<dyn Module> = match spec.checked()? {
            spec::Checked::Resnet18(sizes) => {
                Box::new(ResNet::resnet18(&builder, &sizes, arrangement)?)
            }
            spec::Checked::Resnet20(sizes) => {
                Box::new(ResNet::resnet20(&builder, &sizes, arrangement)?)
            }
            spec::Checked::Mlp(sizes) => Box::new(Mlp::new(&builder, &sizes, arrangement)?),
        };
        let loss = builder.pp("loss").layer(LayerKind::Loss)?;
        Ok(Self { spec: spec.clone(), network, parameters: builder.finish(), loss })
    }

    /// What the model was made from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Its parameters, buffers and layers.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its layers in forward order, the loss last: what a plan applies to.
    pub fn layers(&self) -> &[Arc<Layer>] {
        self.parameters.layers()
    }

    /// The cross-entropy of `logits` of shape (N, classes) with `labels` of shape (N), u32 or i64,
    /// averaged over the batch: a scalar.
    ///
    /// # Errors
    /// If the shapes do not fit or a label is no class.
    pub fn loss(&self, logits: &Activation, labels: &Tensor) -> Result<Activation> {
        Ok(op::softmax_cross_entropy(logits, labels, op::Targets::default(), &self.loss)?)
    }
}

impl Module for Model {
    /// Logits of shape (N, classes) for images of shape (N, channels, height, width).
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.network.forward(x)
    }
}
