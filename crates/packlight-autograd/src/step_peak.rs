//! What a pass over blanks holds at one moment.

use std::sync::Arc;

/// What a pass over blanks ([`packlight_kernels::blank`]) holds at once: what is kept, the
/// gradients of parameters so far, those of activations, be they of an operation at work or waiting for
/// another one, the input that an operation has restored, and what a convolution allocates while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPeak {
    /// What is kept.
    pub kept: usize,
    /// The gradients of parameters.
    pub parameter_gradients: usize,
    /// The gradients of activations, and what the operation at work has restored.
    pub flowing_gradients: usize,
    /// What a convolution at work allocates beside its result
    /// ([`Workspace`](packlight_kernels::conv2d::Workspace)), which depends on the number of threads.
    pub workspace: usize,
    /// Whether it is in the backward pass.
    pub backward: bool,
    /// What the operation would have restored on top, were all inputs that it reads packed; not part of
    /// the total.
    pub restorable: usize,
    /// The layer that is at work, or the next one behind it that has saved anything.
    pub layer: Option<Arc<str>>,
}

impl StepPeak {
    /// All its bytes.
    pub fn total(&self) -> usize {
        self.held() + self.workspace
    }

    /// All its bytes without the workspace: the same on every machine.
    pub fn held(&self) -> usize {
        self.kept + self.parameter_gradients + self.flowing_gradients
    }
}

/// What was there when an operation began.
pub(crate) struct Begun {
    pub(crate) kept: usize,
    pub(crate) flowing: usize,
    /// The number of the operation's first event.
    pub(crate) event: usize,
}

impl Begun {
    /// What was there, as a moment of the backward pass.
    pub(crate) fn moment(&self) -> StepPeak {
        let (kept, flowing_gradients) = (self.kept, self.flowing);
        StepPeak { kept, flowing_gradients, backward: true, ..Default::default() }
    }
}
