//! Fully connected layers with ReLUs between them.

use packlight_autograd::{Activation, op};

use super::sizes::MlpSizes;
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{Linear, Relu};
use crate::{Builder, MemoryStrategy, Module, Result};

/// A multi-layer perceptron: `fc1`, `relu1`, `fc2`, `relu2`, ... and a last `fc` to the classes,
/// numbered on.
pub struct Mlp {
    hidden: CheckpointedBlocks<Hidden>,
    classifier: Linear,
}

struct Hidden {
    linear: Linear,
    relu: Relu,
}

impl Mlp {
    pub(super) fn new(
        builder: &Builder,
        sizes: &MlpSizes,
        strategy: &MemoryStrategy,
    ) -> Result<Self> {
        strategy.refuse_residual("mlp")?;
        let linear = |number: usize, features: usize, out: usize| {
            Linear::new(&builder.pp(format!("fc{number}")), features, out)
        };
        let widths = [&[sizes.inputs], &sizes.hidden[..]].concat();
        let count = sizes.hidden.len();
        let hidden = CheckpointedBlocks::new(builder, count, strategy.checkpoint, [], |index| {
            Ok(Hidden {
                linear: linear(index + 1, widths[index], widths[index + 1])?,
                relu: Relu::new(&builder.pp(format!("relu{}", index + 1)))?,
            })
        })?;
        Ok(Self { hidden, classifier: linear(count + 1, widths[count], sizes.classes)? })
    }
}

impl Module for Hidden {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.relu.forward(&self.linear.forward(x)?)
    }
}

impl Module for Mlp {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.classifier.forward(&self.hidden.forward(&op::flatten(x)?)?)
    }
}
