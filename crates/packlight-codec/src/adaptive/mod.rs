//! Codecs whose precision adapts to measurements during training, and how they share a budget.

pub(crate) mod allocation;
pub(crate) mod ladder;
pub(crate) mod selection;

use crate::{CodecState, Result};

/// Adapts bits or ranks to measurements.
pub trait Adaptive {
    /// What the trainer measures of each layer before step `step` of `steps`; `None` for nothing.
    fn measure(&self, _step: u64, _steps: u64) -> Option<Calibration> {
        None
    }

    /// Takes what was measured of one layer, once all layers have been measured.
    ///
    /// # Errors
    /// Returns an error if candle cannot store it.
    fn measured(&self, _numbers: &[f64], _state: &mut CodecState) -> Result<()> {
        Ok(())
    }

    /// Shares one budget among all layers with this codec, given in forward order, after each step
    /// of training.
    ///
    /// # Errors
    /// Returns an error if the budget is too small or a kernel fails.
    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()>;
}

/// What a trainer measures of a layer: how the gradients change when that layer alone packs at
/// another [level](crate::Site::level), in backward passes on one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calibration {
    /// One number. With the gradients g0 and g1 of two draws at 1 bit and g2 of one at 8 bits,
    /// it is the largest of |g0 - g1|^2, 2 |g0 - g2|^2 and 2 |g1 - g2|^2 (Liu et al., "GACT", ICML
    /// 2022).
    Sensitivity(GradientMetric),
    /// A number for each of these levels: the distance |g - g0| of its gradients from those at
    /// level 0 (the perplexity of Nguyen et al., "ASI", ICML 2025; for a convolution or linear
    /// layer, only the gradient of its own weight differs).
    Distances(&'static [u8]),
    /// Two numbers: the root mean square of the gradient of the layer's weight, and the bytes of the
    /// input that it saves, in one backward pass in which all layers that ask for them pack at level
    /// [`Calibration::WHOLE`].
    /// [`Adaptive::allocate`] follows at once, so that it counts in the step that begins (Ma et al.,
    /// "SURGEON", CVPR 2025).
    Importance,
}

impl Calibration {
    /// The level of a trial at which a layer keeps all of its input, while its importance is measured.
    pub const WHOLE: u8 = 0;
}

/// How gradients are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientMetric {
    /// Every entry of every parameter's gradient.
    Entries,
    /// The norm of each parameter's gradient.
    Norms,
}
