//! The loss of a classifier.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;

use crate::{Builder, Result};

/// Softmax cross-entropy, averaged over the labels that count; saves the probabilities.
pub struct CrossEntropy {
    targets: op::Targets,
    save_point: Arc<SavePoint>,
}

impl CrossEntropy {
    /// Makes a loss for which every label counts, without smoothing.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Self::with(builder, op::Targets::default())
    }

    /// Makes a loss that smooths or ignores labels as `targets` says.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn with(builder: &Builder, targets: op::Targets) -> Result<Self> {
        Ok(Self { targets, save_point: builder.save_point(LayerKind::Loss)? })
    }

    /// How training treats labels; evaluation does not smooth them.
    pub fn targets(&self) -> op::Targets {
        self.targets
    }

    /// The scalar loss of logits (..., classes) for labels (...), u32 or i64, as an ordinary tensor.
    ///
    /// # Errors
    /// Returns an error if the shapes do not fit, a label is not a class, or none counts.
    pub fn loss(&self, logits: &Activation, labels: &Tensor) -> Result<Tensor> {
        let mut targets = self.targets;
        if !logits.pass().is_training() {
            targets.smoothing = 0.0;
        }
        Ok(op::softmax_cross_entropy(logits, labels, targets, &self.save_point)?.into_tensor()?)
    }
}
