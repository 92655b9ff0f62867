//! The gradient of one activation, on its way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;
use packlight_kernels::accumulate;

use crate::Result;

/// A gradient, and whether another slot may hold the same tensor.
#[derive(Clone)]
pub(crate) struct Gradient {
    pub(crate) tensor: Tensor,
    pub(crate) shared: bool,
}

impl Gradient {
    /// A tensor that nothing else holds.
    pub(crate) fn own(tensor: Tensor) -> Self {
        Self { tensor, shared: false }
    }

    /// A tensor that others may hold, so that nothing may be added to it in place.
    pub(crate) fn shared(tensor: Tensor) -> Self {
        Self { tensor, shared: true }
    }
}

/// Where the consumers of an activation leave its gradient for the operation that made it.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Gradient>>>);

impl Slot {
    /// Adds a gradient to those that are already there, in place where no one else sees it.
    pub(crate) fn add(&self, new: Gradient) -> Result<()> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(match slot.take() {
            None => new,
            Some(old) if !old.shared => {
                accumulate::add_in_place(&old.tensor, &new.tensor)?;
                old
            }
            Some(old) if !new.shared => {
                accumulate::add_in_place(&new.tensor, &old.tensor)?;
                new
            }
            Some(old) => Gradient::own(accumulate::add(&old.tensor, &new.tensor)?),
        });
        Ok(())
    }

    /// The sum of what was added, which leaves the slot empty.
    pub(crate) fn take(&self) -> Option<Gradient> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
