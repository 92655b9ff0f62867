//! What one step of training keeps in memory, found from shapes alone.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_autograd::{Entry, Ledger, Pass, Product, SavePoint, StepPeak, Stream};
use packlight_codec::Bytes;
use packlight_kernels::blank::blank;
use packlight_spec::LayerKind;

use crate::model::{Inputs, Takes};
use crate::{Model, ModelSpec, Plan, Result};

/// What one step of training keeps in memory, layer by layer.
///
/// The network is made and goes forward and back as in training, but on blanks
/// ([`packlight_kernels::blank`]): tensors of the right shapes without memory. The same operations save
/// at the same save points, codecs say the bytes in place of packing ([`packlight_codec::Codec::bytes`]),
/// and the same [`Ledger`] counts them. So a network of any size takes milliseconds and almost no memory.
///
/// ```
/// use packlight_nn::footprint::{Footprint, Step};
/// use packlight_nn::{ModelSpec, Plan};
/// use packlight_nn::model::{Resnet50, Stem};
///
/// # fn main() -> packlight_nn::Result<()> {
/// let spec = ModelSpec::new(Resnet50 { stem: Stem::Imagenet, ..Resnet50::default() });
/// let spec = spec.for_images(3, 224, 1000)?;
/// let kept = |plan: &str| -> packlight_nn::Result<usize> {
///     Ok(Footprint::of(&spec, &Plan::parse(plan)?, &Step::of_batch(512))?.kept().total())
/// };
/// assert!(kept("ara=3:4:4:2")? < kept("none")?);
/// # Ok(())
/// # }
/// ```
///
/// What some codecs keep depends on the data; their entries are not `known`, and count for nothing in
/// sums but [`Footprint::kept_within`]. States of codecs are not counted.
#[derive(Debug, Clone)]
pub struct Footprint {
    /// The layers in forward order, the loss last.
    pub layers: Vec<LayerFootprint>,
    /// Bytes of buffers, such as running statistics.
    pub buffers: usize,
    /// The peak of the kept bytes. It is above [`Footprint::kept`] only where parts are recomputed and
    /// what they save again is more than what has been freed by then.
    pub kept_peak: usize,
    /// The bytes that operations between layers read and write, such as additions.
    pub streamed_between: u64,
    /// What the step holds while its operations run, in order, beside parameters, buffers and the
    /// optimizer's state.
    pub moments: Vec<StepPeak>,
    /// The one of them that holds most.
    pub peak: StepPeak,
}

/// What one layer keeps.
#[derive(Debug, Clone)]
pub struct LayerFootprint {
    /// The layer's name, kind and codec.
    pub layer: Arc<SavePoint>,
    /// Its trainable numbers.
    pub parameters: usize,
    /// How many of them train: none in a frozen layer.
    pub trained: usize,
    /// Bytes of its parameters.
    pub parameter_bytes: usize,
    /// Bytes of the gradients of those that train.
    pub gradient_bytes: usize,
    /// Bytes of the optimizer's state for them.
    pub optimizer_bytes: usize,
    /// What the forward pass saves. Layers that share one copy have it at the first of them.
    pub saved: Vec<Entry>,
    /// What it saves in the backward pass, within a part that is recomputed.
    pub saved_again: Vec<Entry>,
    /// Its products: one where it is a convolution or a linear layer, another where it is recomputed.
    pub products: Vec<Product>,
    /// The bytes that its other operations read and write.
    pub streamed: u64,
}

/// The sizes of a step that the model's description does not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Samples.
    pub batch: usize,
    /// Tokens of a sequence, for models of sequences.
    pub length: usize,
    /// The type of numbers.
    pub dtype: DType,
    /// How many numbers the optimizer keeps for each of a parameter, such as
    /// [`Sgd::STATE`](crate::optimizer::Sgd::STATE).
    pub optimizer_state: usize,
}

impl Step {
    /// A step of so many samples in f32, with sequences of 128 tokens, with SGD.
    pub fn of_batch(batch: usize) -> Self {
        let optimizer_state = crate::optimizer::Sgd::STATE;
        Self { batch, length: 128, dtype: DType::F32, optimizer_state }
    }

    /// Blank inputs and labels for a model.
    fn inputs(&self, spec: &ModelSpec) -> Result<(Inputs, Tensor)> {
        let facts = spec.facts();
        let tokens = || blank((self.batch, self.length), DType::U32);
        match spec.takes() {
            Takes::Pairs { .. } => {
                return Ok((Inputs::Pairs { source: tokens()?, target: tokens()? }, tokens()?));
            }
            Takes::Text => return Ok((Inputs::Text(tokens()?), tokens()?)),
            Takes::LabelledText { .. } => {
                return Ok((Inputs::Text(tokens()?), blank(self.batch, DType::U32)?));
            }
            Takes::Images | Takes::SquareImages { .. } => {}
        }
        let (channels, side) = (facts.in_channels()?, facts.image_size()?);
        let images = blank((self.batch, channels, side, side), self.dtype)?;
        Ok((Inputs::Images(images), blank(self.batch, DType::U32)?))
    }
}

impl Footprint {
    /// Goes through one step of training the model that `spec` describes.
    ///
    /// # Errors
    /// Returns an error if the model, the plan or the sizes do not fit each other, or a codec cannot pack
    /// its layer's input.
    pub fn of(spec: &ModelSpec, plan: &Plan, step: &Step) -> Result<Self> {
        let (model, ledger) = go_through(spec, plan, step.dtype, step.inputs(spec)?)?;
        let mut layers: HashMap<Arc<str>, LayerFootprint> = HashMap::new();
        let of = |layer: &Arc<SavePoint>| (Arc::from(layer.name()), LayerFootprint::of(layer));
        layers.extend(model.save_points().iter().map(of));
        for (name, var, owner) in model.parameters().owned() {
            if let Some(layer) = layers.get_mut(owner.name()) {
                layer.own(var.elem_count(), owner.trains(name), step);
            }
        }
        for entry in ledger.entries() {
            let Some(layer) = layers.get_mut(&entry.layer) else { continue };
            if entry.again { layer.saved_again.push(entry) } else { layer.saved.push(entry) }
        }
        for product in ledger.products() {
            let Some(layer) = layers.get_mut(&product.layer) else { continue };
            layer.products.push(product);
        }
        let mut streamed_between = 0;
        for Stream { layer, moved } in ledger.streams() {
            match layer.and_then(|layer| layers.get_mut(&layer)) {
                Some(layer) => layer.streamed += moved,
                None => streamed_between += moved,
            }
        }
        let layer = |layer: &Arc<SavePoint>| layers.remove(layer.name());
        Ok(Self {
            streamed_between,
            layers: model.save_points().iter().filter_map(layer).collect(),
            buffers: model.parameters().buffers().map(|(_, var)| bytes(var, step)).sum(),
            kept_peak: ledger.peak(),
            peak: most(&ledger.moments()),
            moments: ledger.moments(),
        })
    }

    /// The same step without workspace, for a machine whose kernels are not these. It
    /// then depends on nothing but shapes.
    pub fn without_workspace(mut self) -> Self {
        self.moments.iter_mut().for_each(|moment| moment.workspace = 0);
        let products = self.layers.iter_mut().flat_map(|layer| &mut layer.products);
        products.for_each(|product| product.workspace = 0);
        self.peak = most(&self.moments);
        self
    }

    /// What the forward pass saves.
    pub fn kept(&self) -> Bytes {
        sum(self.layers.iter().flat_map(|layer| &layer.saved))
    }

    /// What layers of this kind save.
    pub fn kept_by(&self, kind: LayerKind) -> Bytes {
        let layers = self.layers.iter().filter(|layer| layer.layer.kind() == kind);
        sum(layers.flat_map(|layer| &layer.saved))
    }

    /// The fewest and the most bytes that the forward pass may save: those of [`Footprint::kept`], where
    /// all of them are known.
    pub fn kept_within(&self) -> [usize; 2] {
        let layers = self.layers.iter().map(LayerFootprint::kept_within);
        layers.fold([0, 0], |[low, high], [least, most]| [low + least, high + most])
    }

    /// Whether all that is saved is known, so that sums are exact. Otherwise they lack what depends on
    /// the data.
    pub fn is_exact(&self) -> bool {
        let saved = |layer: &LayerFootprint| {
            layer.saved.iter().chain(&layer.saved_again).all(|entry| entry.known)
        };
        self.layers.iter().all(saved)
    }

    /// Bytes of parameters, buffers and the optimizer's state, which stay from step to step.
    pub fn resident(&self) -> usize {
        let of = |layer: &LayerFootprint| layer.parameter_bytes + layer.optimizer_bytes;
        self.buffers + self.layers.iter().map(of).sum::<usize>()
    }

    /// The most bytes that a step holds at once: [`Footprint::resident`] and [`Footprint::peak`].
    pub fn peak_bytes(&self) -> usize {
        self.resident() + self.peak.total()
    }
}

/// Goes forward and back over blank inputs and labels ([`packlight_kernels::blank`]) with a model of blanks,
/// and counts what that saves.
///
/// # Errors
/// Returns an error if the model, the plan and the shapes do not fit each other, or a codec cannot pack its
/// layer's input.
pub fn go_through(
    spec: &ModelSpec,
    plan: &Plan,
    dtype: DType,
    (inputs, labels): (Inputs, Tensor),
) -> Result<(Model, Ledger)> {
    let model = Model::blank(spec, plan, dtype)?;
    let ledger = match plan.memory_strategy().updates_eagerly {
        true => Ledger::of_eager_updates(),
        false => Ledger::new(),
    };
    let pass = Pass::training().with_ledger(&ledger);
    let logits = model.logits(&inputs, &pass)?;
    drop((inputs, pass));
    let loss = model.loss(&logits, &labels)?;
    drop(logits);
    loss.backward()?;
    Ok((model, ledger))
}

impl LayerFootprint {
    /// A layer of which nothing is known yet.
    fn of(layer: &Arc<SavePoint>) -> Self {
        Self {
            layer: layer.clone(),
            parameters: 0,
            trained: 0,
            parameter_bytes: 0,
            gradient_bytes: 0,
            optimizer_bytes: 0,
            saved: Vec::new(),
            saved_again: Vec::new(),
            products: Vec::new(),
            streamed: 0,
        }
    }

    /// Adds so many parameters.
    fn own(&mut self, parameters: usize, train: bool, step: &Step) {
        let bytes = parameters * step.dtype.size_in_bytes();
        self.parameters += parameters;
        self.parameter_bytes += bytes;
        if train {
            self.trained += parameters;
            self.gradient_bytes += bytes;
        }
        self.optimizer_bytes += bytes * step.optimizer_state;
    }

    /// What it saves in the forward pass.
    pub fn kept(&self) -> Bytes {
        sum(&self.saved)
    }

    /// The fewest and the most bytes that it may save in the forward pass.
    pub fn kept_within(&self) -> [usize; 2] {
        let bounds = self.saved.iter().map(|entry| entry.bounds);
        bounds.fold([0, 0], |[low, high], [least, most]| [low + least, high + most])
    }

    /// The multiplications of its products in the forward and in the backward pass, where those of
    /// recomputed parts belong.
    pub fn multiplications(&self) -> (u64, u64) {
        let (mut forward, mut backward) = (0, 0);
        for product in &self.products {
            match product.again {
                true => backward += product.forward + product.backward,
                false => {
                    (forward, backward) = (forward + product.forward, backward + product.backward)
                }
            }
        }
        (forward, backward)
    }

    /// The most bytes that one of its products allocates while it runs.
    pub fn workspace(&self) -> usize {
        self.products.iter().map(|product| product.workspace).max().unwrap_or_default()
    }

    /// The bytes that its operations read and write, once each in each pass.
    pub fn moved(&self) -> u64 {
        self.streamed + self.products.iter().map(|product| product.moved).sum::<u64>()
    }
}

/// The first of the moments that hold most.
fn most(moments: &[StepPeak]) -> StepPeak {
    let moments = moments.iter();
    let most = moments.reduce(|most, next| if next.total() > most.total() { next } else { most });
    most.cloned().unwrap_or_default()
}

fn sum<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Bytes {
    entries.into_iter().fold(Bytes::default(), |sum, entry| Bytes {
        payload: sum.payload + entry.bytes.payload,
        metadata: sum.metadata + entry.bytes.metadata,
    })
}

fn bytes(tensor: &Tensor, step: &Step) -> usize {
    tensor.elem_count() * step.dtype.size_in_bytes()
}
