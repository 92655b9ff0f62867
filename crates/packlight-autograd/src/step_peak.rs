//! What a pass over blanks holds at one moment.

use std::sync::Arc;

/// What a pass over blanks ([`packlight_kernels::blank`]) holds at once: what is kept, the gradients of parameters so
/// far, activations and their gradients on their way, and what a convolution allocates while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPeak {
    /// What is kept.
    pub kept: usize,
    /// The gradients of parameters.
    pub parameter_gradients: usize,
    /// Activations that are alive and not kept as they are; gradients of activations, be they of the operation at
    /// work or waiting for another one, and the input that it has restored.
    pub flowing: usize,
    /// What a convolution at work allocates beside its result
    /// ([`Workspace`](packlight_kernels::conv2d::Workspace)), which depends on the number of threads.
    pub workspace: usize,
    /// Whether it is in the backward pass.
    pub backward: bool,
    /// What would be held on top, were all inputs packed: in the backward pass those that the operation reads, which
    /// it would restore, in the forward pass activations that are alive. Not part of the total.
    pub restorable: usize,
    /// What is left of that if the layer's own inputs stay as they are.
    pub restorable_of_others: usize,
    /// The layer that is at work, or the next one behind it that has saved anything.
    pub layer: Option<Arc<str>>,
}

impl StepPeak {
    /// All its bytes.
    pub fn total(&self) -> usize {
        self.held() + self.workspace
    }

    /// Whether it holds at least as much as `other`, as it is and were all inputs packed.
    pub(crate) fn reaches(&self, other: &Self) -> bool {
        self.total() >= other.total()
            && self.held() + self.restorable >= other.held() + other.restorable
    }

    /// All its bytes without the workspace: the same on every machine.
    pub fn held(&self) -> usize {
        self.kept + self.parameter_gradients + self.flowing
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
        let (kept, flowing) = (self.kept, self.flowing);
        StepPeak { kept, flowing, backward: true, ..Default::default() }
    }
}
