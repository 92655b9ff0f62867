//! Models that a study can name.

mod architecture;
mod inputs;
mod mixer;
mod mlp;
mod resnet;
mod sizes;
mod spec;
mod transformer;
mod vit;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass, SavePoint, op};
use packlight_record::LayerKind;

pub use architecture::{Architecture, Stem};
pub use inputs::Inputs;
pub use mixer::Mixer;
pub use mlp::Mlp;
pub use resnet::ResNet;
pub use spec::ModelSpec;
pub use transformer::{PADDING, Transformer};
pub use vit::Vit;

use sizes::Checked;

use crate::{Builder, MemoryStrategy, Module, Parameters, Plan, Result};

/// A classifier made from a specification: its network, its parameters and its loss.
pub struct Model {
    spec: ModelSpec,
    network: Network,
    parameters: Parameters,
    loss: Arc<SavePoint>,
    targets: op::Targets,
}

/// What a model is made of, by what it reads.
enum Network {
    OfImages(Box<dyn Module>),
    OfPairs(Box<Transformer>),
}

impl Model {
    /// Makes the model that `spec` describes, in `dtype` (f32 or f64) on `device`; the same seed
    /// gives the same initial parameters.
    ///
    /// # Errors
    /// If the specification makes no sense; the error names the key.
    pub fn new(spec: &ModelSpec, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        Self::arranged(spec, &MemoryStrategy::default(), seed, dtype, device)
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
        let model = Self::arranged(spec, plan.memory_strategy(), seed, dtype, device)?;
        plan.apply(model.save_points())?;
        Ok(model)
    }

    fn arranged(
        spec: &ModelSpec,
        strategy: &MemoryStrategy,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let builder = Builder::new(seed, dtype, device)?;
        let of_images: Box<dyn Module> = match spec.checked()? {
            Checked::Resnet18(sizes) => Box::new(ResNet::resnet18(&builder, &sizes, strategy)?),
            Checked::Resnet20(sizes) => Box::new(ResNet::resnet20(&builder, &sizes, strategy)?),
            Checked::Mlp(sizes) => Box::new(Mlp::new(&builder, &sizes, strategy)?),
            Checked::Vit(sizes) => Box::new(Vit::new(&builder, &sizes, strategy)?),
            Checked::Mixer(sizes) => Box::new(Mixer::new(&builder, &sizes, strategy)?),
            Checked::Transformer(sizes) => {
                let transformer = Transformer::new(&builder, &sizes, strategy)?;
                return Self::around(spec, Network::OfPairs(Box::new(transformer)), &builder);
            }
        };
        Self::around(spec, Network::OfImages(of_images), &builder)
    }

    /// A network with its loss.
    fn around(spec: &ModelSpec, network: Network, builder: &Builder) -> Result<Self> {
        let targets = match spec.name {
            Architecture::Transformer => op::Targets { smoothing: 0.1, ignored: Some(PADDING) },
            _ => op::Targets::default(),
        };
        let loss = builder.pp("loss").save_point(LayerKind::Loss)?;
        let (spec, parameters) = (spec.clone(), builder.finish());
        Ok(Self { spec, network, parameters, loss, targets })
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
    pub fn save_points(&self) -> &[Arc<SavePoint>] {
        self.parameters.save_points()
    }

    /// The label that does not count in the loss, if there is one.
    pub fn ignored_label(&self) -> Option<u32> {
        self.targets.ignored
    }

    /// Logits of shape (N, classes) for images, or of shape (N, target length, classes) for pairs of
    /// sequences.
    ///
    /// # Errors
    /// If the model takes other inputs, or their shapes do not fit.
    pub fn logits(&self, inputs: &Inputs, pass: &Pass) -> Result<Activation> {
        let enter = |tensor| Activation::from_tensor(tensor, pass);
        match (inputs, &self.network) {
            (Inputs::Images(images), _) => self.forward(&enter(images)?),
            (Inputs::Pairs { source, target }, Network::OfPairs(network)) => {
                network.forward(&enter(source)?, &enter(target)?)
            }
            (Inputs::Pairs { .. }, Network::OfImages(_)) => {
                Err(self.spec.other_data("images", "pairs of sequences"))
            }
        }
    }

    /// The share that the loss of training spreads evenly over all classes; that of evaluation
    /// spreads nothing.
    pub fn label_smoothing(&self) -> f64 {
        self.targets.smoothing
    }

    /// The cross-entropy of `logits` of shape (..., classes) with `labels` of shape (...), u32 or
    /// i64, averaged over those that count: a scalar. In training a transformer's is smoothed, by
    /// [`Model::label_smoothing`].
    ///
    /// # Errors
    /// If the shapes do not fit, a label is no class, or none counts.
    pub fn loss(&self, logits: &Activation, labels: &Tensor) -> Result<Activation> {
        let mut targets = self.targets;
        if !logits.pass().is_training() {
            targets.smoothing = 0.0;
        }
        Ok(op::softmax_cross_entropy(logits, labels, targets, &self.loss)?)
    }
}

impl Module for Model {
    /// Logits of shape (N, classes) for images of shape (N, channels, height, width); an error where
    /// the model reads pairs of sequences, which [`Model::logits`] takes.
    fn forward(&self, x: &Activation) -> Result<Activation> {
        match &self.network {
            Network::OfImages(network) => network.forward(x),
            Network::OfPairs(_) => Err(self.spec.other_data("pairs of sequences", "images")),
        }
    }
}
