//! Fully connected layers with ReLUs between them.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::facts::LARGEST;
use super::{Architecture, Blocks, DataFacts, Network, Takes};
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{Linear, Relu};
use crate::{Builder, MemoryStrategy, Module, Result, options};

options! {
    /// A multi-layer perceptron: `fc1`, `relu1`, `fc2`, `relu2`, ... and a last `fc` to the classes,
    /// numbered on. A block of it, such as `hidden1`, is a layer and its ReLU.
    pub struct Mlp {
        /// Sizes of the hidden layers, as in 128,64.
        hidden: Vec<usize> = vec![128],
    }
}

impl Architecture for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn takes(&self) -> Takes {
        Takes::SquareImages { multiple_of: 1 }
    }

    fn check(&self) -> Result<(), Fault> {
        self.hidden.iter().try_for_each(|&size| Fault::unless_within("hidden", size, 1..=LARGEST))
    }

    fn classifier(&self) -> String {
        format!("fc{}", self.hidden.len() + 1)
    }

    fn blocks(&self) -> Blocks {
        Blocks::Plain
    }

    fn network(
        &self,
        data: &DataFacts,
        builder: &Builder,
        strategy: &MemoryStrategy,
    ) -> Result<Network> {
        let linear = |number: usize, features: usize, out: usize| {
            Linear::new(&builder.pp(format!("fc{number}")), features, out)
        };
        let inputs = data.in_channels()? * data.image_size()?.pow(2);
        let widths = [&[inputs], &self.hidden[..]].concat();
        let count = self.hidden.len();
        let places: Vec<_> = (1..=count).map(|n| builder.pp(format!("hidden{n}"))).collect();
        let checkpoint = strategy.checkpoint.as_ref();
        let hidden = CheckpointedBlocks::new(builder, &places, checkpoint, [], |index, _| {
            Ok(Hidden {
                linear: linear(index + 1, widths[index], widths[index + 1])?,
                relu: Relu::new(&builder.pp(format!("relu{}", index + 1)))?,
            })
        })?;
        let classifier = linear(count + 1, widths[count], data.classes()?)?;
        Ok(Network::Images(Box::new(Layers { hidden, classifier })))
    }
}

struct Layers {
    hidden: CheckpointedBlocks<Hidden>,
    classifier: Linear,
}

struct Hidden {
    linear: Linear,
    relu: Relu,
}

impl Module for Hidden {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.relu.forward(&self.linear.forward(x)?)
    }
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.classifier.forward(&self.hidden.forward_owned(op::flatten(x)?)?)
    }
}
