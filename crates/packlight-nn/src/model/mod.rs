//! Models that a study can name: a file for each, or for each family, and a line in [`MODELS`].

mod architecture;
mod bert;
mod efficientnet;
mod facts;
mod gpt;
mod inputs;
mod inverted;
mod list;
mod mcunet;
mod mixer;
mod mlp;
mod mobilenet;
mod options;
mod patches;
mod residual;
mod resnet;
mod spec;
mod swin;
mod transformer;
mod vit;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass, SavePoint};
use packlight_record::LayerKind;
use packlight_spec::differences;

pub use architecture::{Architecture, Blocks, Network, PairModule, Takes};
pub use bert::Bert;
pub use efficientnet::EfficientnetB0;
pub use facts::DataFacts;
pub use gpt::Gpt;
pub use inputs::{Inputs, blanks_of};
pub use list::{Entry, find, models, register};
pub use mcunet::Mcunet;
pub use mixer::Mixer;
pub use mlp::Mlp;
pub use mobilenet::MobilenetV2;
pub use options::{Key, Options};
pub use resnet::{
    Bottlenecks, Resnet18, Resnet20, Resnet34, Resnet50, Resnet56, Resnet101, Resnet152, Stem,
};
pub use spec::ModelSpec;
pub use swin::Swin;
pub use transformer::{PADDING, Transformer};
pub use vit::Vit;

use crate::checkpointed::check_names;
use crate::layer::CrossEntropy;
use crate::{Builder, Error, MemoryStrategy, Module, Parameters, Plan, Result, weights};

/// The models of this crate, in the order in which they are listed to users.
pub const MODELS: &[Entry] = &[
    Entry::of::<Resnet18>(),
    Entry::of::<Resnet34>(),
    Entry::of::<Resnet50>(),
    Entry::of::<Resnet101>(),
    Entry::of::<Resnet152>(),
    Entry::of::<Resnet20>(),
    Entry::of::<Resnet56>(),
    Entry::of::<MobilenetV2>(),
    Entry::of::<EfficientnetB0>(),
    Entry::of::<Mcunet>(),
    Entry::of::<Mlp>(),
    Entry::of::<Vit>(),
    Entry::of::<Swin>(),
    Entry::of::<Mixer>(),
    Entry::of::<Transformer>(),
    Entry::of::<Gpt>(),
    Entry::of::<Bert>(),
];

/// A classifier made from a description: its network, its parameters and its loss.
pub struct Model {
    spec: ModelSpec,
    network: Network,
    parameters: Parameters,
    loss: CrossEntropy,
    /// The type of activations, if it is not that of the inputs and parameters.
    activations: Option<DType>,
}

impl Model {
    /// Makes the model that `spec` describes, in `dtype` (f32 or f64) on `device`. The same seed gives
    /// the same initial parameters.
    ///
    /// # Errors
    /// Returns an error if the description is not valid; the error names the key.
    pub fn new(spec: &ModelSpec, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        Self::arranged(spec, &MemoryStrategy::default(), Builder::new(seed, dtype, device)?)
    }

    /// Makes the model with the memory strategy, codecs and frozen layers of `plan`; see
    /// [`Model::new`].
    ///
    /// # Errors
    /// Returns an error as [`Model::new`] does, or if the plan does not fit the model.
    pub fn planned(
        spec: &ModelSpec,
        plan: &Plan,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Self::built(spec, plan, Builder::new(seed, dtype, device)?)
    }

    /// Makes the model as [`Model::planned`] does, for passes over blanks alone; see
    /// [`Builder::blank`].
    ///
    /// # Errors
    /// Returns an error as [`Model::planned`] does.
    pub fn blank(spec: &ModelSpec, plan: &Plan, dtype: DType) -> Result<Self> {
        Self::built(spec, plan, Builder::blank(dtype)?)
    }

    fn built(spec: &ModelSpec, plan: &Plan, builder: Builder) -> Result<Self> {
        let model = Self::arranged(spec, plan.memory_strategy(), builder)?;
        plan.apply(model.save_points())?;
        Ok(model)
    }

    fn arranged(spec: &ModelSpec, strategy: &MemoryStrategy, builder: Builder) -> Result<Self> {
        let architecture = spec.architecture();
        architecture.check()?;
        architecture.blocks().check(strategy, architecture.name())?;
        let builder = builder.recomputing_scores(strategy.recompute_scores);
        let network = architecture.network(spec.facts(), &builder, strategy)?;
        let loss = CrossEntropy::with(&builder.pp("loss"), architecture.targets())?;
        let parameters = builder.finish();
        check_names(strategy.checkpoint.as_ref(), parameters.blocks())?;
        let attends = |point: &Arc<SavePoint>| point.kind() == LayerKind::Attention;
        if strategy.recompute_scores && !parameters.save_points().iter().any(attends) {
            let model = architecture.name();
            let reason = format!("`scores=recompute` is for attention; {model} has none");
            return Err(Error::MemoryStrategy { reason });
        }
        Ok(Self { spec: spec.clone(), network, parameters, loss, activations: None })
    }

    /// The model with activations in this type, whatever that of its parameters; see
    /// [`Pass::with_activations`].
    pub fn with_activations(self, dtype: DType) -> Self {
        Self { activations: Some(dtype), ..self }
    }

    /// Loads `file` as [`Parameters::load`] does.
    ///
    /// # Errors
    /// Returns an error as [`Parameters::load`] does. If the file says that its weights are of another
    /// model, the error names what differs.
    pub fn load(&self, file: &weights::File) -> Result<()> {
        self.parameters.load_from(file).map_err(|error| self.explained(error, file))
    }

    /// Loads `file` to train on from it: as [`Model::load`] does, except that a classifier of images or texts
    /// stays as it is made if the file has nothing of it, as one of a pre-trained body.
    ///
    /// # Errors
    /// Returns an error as [`Model::load`] does.
    pub fn start_from(&self, file: &weights::File) -> Result<()> {
        let started = || -> Result<()> {
            let mut tensors = self.parameters.read(file, "")?;
            let head = format!("{}.", self.spec.classifier());
            let is_alone = !matches!(self.spec.takes(), Takes::Text | Takes::Pairs { .. });
            if is_alone && !tensors.keys().any(|name| name.starts_with(&head)) {
                let made = self.parameters.tensors()?.into_iter();
                tensors.extend(made.filter(|(name, _)| name.starts_with(&head)));
            }
            self.parameters.set_from(&tensors, file.name())
        };
        started().map_err(|error| self.explained(error, file))
    }

    /// An error of loading `file`, with what differs from the model that the file is of.
    fn explained(&self, error: Error, file: &weights::File) -> Error {
        let stored = file.origin().and_then(|origin| serde_json::from_str(origin).ok());
        let own = serde_json::to_value(self.spec.complete());
        let (Some(serde_json::Value::Object(stored)), Ok(own)) = (stored, own) else {
            return error;
        };
        let Some(stored) = stored.get("model") else { return error };
        let differ = differences(stored, &own);
        if differ.is_empty() {
            return error;
        }
        let differ: Vec<String> = differ.iter().map(|d| d.in_words("there", "here")).collect();
        let (from, differences) = (file.name().to_owned(), differ.join("; "));
        Error::OtherModel { from, differences, source: Box::new(error) }
    }

    /// The description that the model was made from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Its parameters, buffers and layers.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its layers in forward order, the loss last. A plan applies to them.
    pub fn save_points(&self) -> &[Arc<SavePoint>] {
        self.parameters.save_points()
    }

    /// The label that the loss ignores, if there is one.
    pub fn ignored_label(&self) -> Option<u32> {
        self.loss.targets().ignored
    }

    /// Computes logits of shape (N, classes) for images and for texts of one class each, of shape (N,
    /// target length, classes) for pairs of sequences, or of shape (N, length, classes) for text.
    ///
    /// # Errors
    /// Returns an error if the model takes other inputs, or their shapes do not fit.
    pub fn logits(&self, inputs: &Inputs, pass: &Pass) -> Result<Activation> {
        let own = self.activations.map(|dtype| pass.clone().with_activations(dtype));
        let enter = |tensor| Activation::from_tensor(tensor, own.as_ref().unwrap_or(pass));
        match (inputs, &self.network) {
            (Inputs::Images(images), _) => self.forward(&enter(images)?),
            (Inputs::Pairs { source, target }, Network::Pairs(network)) => {
                network.forward(&enter(source)?, &enter(target)?)
            }
            (Inputs::Text(tokens), Network::Text(network)) => network.forward(&enter(tokens)?),
            (Inputs::Pairs { .. }, _) => Err(self.spec.other_data("pairs of sequences")),
            (Inputs::Text(_), _) => Err(self.spec.other_data("text")),
        }
    }

    /// The share of each label that the loss of training spreads evenly over all classes. The loss of
    /// evaluation is not smoothed.
    pub fn label_smoothing(&self) -> f64 {
        self.loss.targets().smoothing
    }

    /// Computes the cross-entropy of `logits` of shape (..., classes) with `labels` of shape (...), u32
    /// or i64, averaged over the labels that are not ignored: a scalar, as an ordinary tensor. In training, labels are
    /// smoothed by [`Model::label_smoothing`].
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit, a label is not a class, or all labels are ignored.
    pub fn loss(&self, logits: &Activation, labels: &Tensor) -> Result<Tensor> {
        self.loss.loss(logits, labels)
    }
}

impl Module for Model {
    /// Computes logits of shape (N, classes) for images of shape (N, channels, height, width). A model
    /// of sequences returns an error; [`Model::logits`] takes these.
    fn forward(&self, x: &Activation) -> Result<Activation> {
        match &self.network {
            Network::Images(network) => network.forward(x),
            Network::Pairs(_) | Network::Text(_) => Err(self.spec.other_data("images")),
        }
    }
}
