//! The networks whose steps are timed, each with the data of one batch.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Optimizer;
use packlight::autograd::Pass;
use packlight::kernels::rng::{Key, Purpose, Stream};
use packlight::nn::model::{
    Bert, EfficientnetB0, Gpt, Inputs, MobilenetV2, Resnet18, Stem, Swin, Vit,
};
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Error, Model, ModelSpec, Plan, Trainer};

/// A step of training, which returns its loss; an error ends the benchmark.
pub(crate) type Step = Box<dyn FnMut() -> Result<f64, Error>>;

/// A network, and the data that it is timed with.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    pub(crate) name: &'static str,
    /// The codec that its users would take first.
    pub(crate) usual: &'static str,
    pub(crate) spec: fn() -> ModelSpec,
    pub(crate) takes: Takes,
    pub(crate) batch: usize,
    /// Classes of an image or a text, or words of a vocabulary.
    pub(crate) classes: usize,
}

/// A sample of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Takes {
    /// An image of three channels and this many pixels a side.
    Image(usize),
    /// This many words of a text, the next of which are the targets.
    Words(usize),
    /// A text of this many words from a vocabulary of so many.
    Text(usize, usize),
}

/// Without dropout where the same network is usually written without it.
pub(crate) const NETWORKS: &[Network] = &[
    Network {
        name: "resnet18-w64",
        usual: "pool2",
        spec: || ModelSpec::new(Resnet18 { width: 64, ..Resnet18::default() }),
        takes: Takes::Image(32),
        batch: 64,
        classes: 10,
    },
    Network {
        name: "resnet18-w16",
        usual: "pool2",
        spec: || ModelSpec::new(Resnet18 { width: 16, ..Resnet18::default() }),
        takes: Takes::Image(32),
        batch: 64,
        classes: 10,
    },
    Network {
        name: "resnet18-imagenet64",
        usual: "pool2",
        spec: || ModelSpec::new(Resnet18 { width: 64, stem: Stem::Imagenet }),
        takes: Takes::Image(64),
        batch: 32,
        classes: 1000,
    },
    Network {
        name: "resnet18-imagenet224",
        usual: "pool2",
        spec: || ModelSpec::new(Resnet18 { width: 64, stem: Stem::Imagenet }),
        takes: Takes::Image(224),
        batch: 16,
        classes: 1000,
    },
    Network {
        name: "vit-tiny",
        usual: "asa4",
        spec: || ModelSpec::new(Vit { depth: 6, ..Vit::default() }),
        takes: Takes::Image(32),
        batch: 64,
        classes: 10,
    },
    Network {
        name: "mobilenetv2-w05",
        usual: "q2",
        spec: || ModelSpec::new(MobilenetV2 { width: 16, dropout: 0.0, ..MobilenetV2::default() }),
        takes: Takes::Image(32),
        batch: 64,
        classes: 10,
    },
    Network {
        name: "lm-256x4",
        usual: "mesa",
        spec: || {
            ModelSpec::new(Gpt {
                width: 256,
                depth: 4,
                heads: 4,
                context: 128,
                dropout: 0.0,
                ..Gpt::default()
            })
        },
        takes: Takes::Words(128),
        batch: 16,
        classes: 1024,
    },
    Network {
        name: "efficientnet-b0-64",
        usual: "q2",
        spec: || {
            ModelSpec::new(EfficientnetB0 { stem: Stem::Imagenet, ..EfficientnetB0::default() })
        },
        takes: Takes::Image(64),
        batch: 32,
        classes: 100,
    },
    Network {
        name: "swin-t-64",
        usual: "mesa",
        spec: || ModelSpec::new(Swin::default()),
        takes: Takes::Image(64),
        batch: 16,
        classes: 100,
    },
    Network {
        name: "bert-base-128",
        usual: "asa4",
        spec: || ModelSpec::new(Bert { dropout: 0.0, ..Bert::default() }),
        takes: Takes::Text(128, 30_522),
        batch: 8,
        classes: 2,
    },
];

impl Network {
    /// The network of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        NETWORKS.iter().find(|network| network.name == name)
    }

    /// The network with batches of so many samples.
    pub(crate) fn of_batch(&self, batch: usize) -> Self {
        Self { batch, ..*self }
    }

    /// A step with SGD, momentum and this learning rate of the network with this plan, on one batch.
    pub(crate) fn step(&self, plan: &str, rate: f64, device: &Device) -> Result<Step, Error> {
        self.step_in(DType::F32, plan, rate, device)
    }

    /// [`Network::step`] with activations in this type.
    pub(crate) fn step_in(
        &self,
        activations: DType,
        plan: &str,
        rate: f64,
        device: &Device,
    ) -> Result<Step, Error> {
        let plan = Plan::parse(plan)?;
        let eagerly = plan.memory_strategy().updates_eagerly;
        let model = self.model(&plan, device)?.with_activations(activations);
        let (inputs, targets) = self.data(device)?;
        let sgd = sgd(model.parameters().vars(), rate)?;
        let mut trainer = Trainer::new(model.parameters(), sgd, 0, u64::MAX);
        Ok(Box::new(move || {
            let loss = |pass: &Pass| model.loss(&model.logits(&inputs, pass)?, &targets);
            if eagerly { trainer.step_eagerly(loss) } else { trainer.step(loss) }
        }))
    }

    /// The network with this plan.
    pub(crate) fn model(&self, plan: &Plan, device: &Device) -> Result<Model, Error> {
        let spec = match self.takes {
            Takes::Image(side) => (self.spec)().for_images(3, side, self.classes)?,
            Takes::Words(_) => (self.spec)().for_text(self.classes)?,
            Takes::Text(_, words) => (self.spec)().for_labelled_text(words, self.classes)?,
        };
        Model::planned(&spec, plan, 0, DType::F32, device)
    }

    /// A batch at random.
    pub(crate) fn data(&self, device: &Device) -> candle_core::Result<(Inputs, Tensor)> {
        let mut random = Key::new(0, Purpose::Sample).stream();
        let (batch, classes) = (self.batch, self.classes);
        let below = |random: &mut Stream, bound: usize, shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            let numbers: Vec<u32> = (0..count).map(|_| random.below(bound as u32)).collect();
            Tensor::from_vec(numbers, shape, device)
        };
        Ok(match self.takes {
            Takes::Image(side) => {
                let shape = (batch, 3, side, side);
                let pixels = (0..batch * 3 * side * side).map(|_| random.normal() as f32);
                let images = Tensor::from_vec(pixels.collect(), shape, device)?;
                (Inputs::Images(images), below(&mut random, classes, &[batch])?)
            }
            Takes::Words(length) => {
                let text = below(&mut random, classes, &[batch, length])?;
                (Inputs::Text(text), below(&mut random, classes, &[batch, length])?)
            }
            Takes::Text(length, words) => {
                // Token 0 would be padding.
                let text = (below(&mut random, words - 1, &[batch, length])? + 1.0)?;
                (Inputs::Text(text), below(&mut random, classes, &[batch])?)
            }
        })
    }
}

/// The optimizer of all steps.
pub(crate) fn sgd(vars: Vec<Var>, rate: f64) -> candle_core::Result<Sgd> {
    Sgd::new(vars, SgdConfig { lr: rate, ..SgdConfig::default() })
}
