//! The gradient of one activation or parameter, on its way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;
use packlight_kernels::accumulate;

use crate::Result;

/// Where the consumers of an activation or a parameter add up its gradient.
///
/// A tensor that arrives may be held by others, too: an operation may pass the very tensor that it
/// was given to several slots, or a view of it, and candle hands back the same tensor where there
/// is nothing to compute. So nothing is ever added to a tensor that arrived, only to a sum that the
/// slot has made itself.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Gradient>>>);

enum Gradient {
    /// The only one so far, as it arrived.
    Arrived(Tensor),
    /// A sum that this slot has made and no one else has seen.
    Summed(Tensor),
}

impl Slot {
    /// Adds a gradient to those that are already there, in the order in which they come.
    pub(crate) fn add(&self, new: Tensor) -> Result<()> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(match slot.take() {
            None => Gradient::Arrived(new),
            Some(Gradient::Arrived(first)) => Gradient::Summed(accumulate::add(&first, &new)?),
            Some(Gradient::Summed(sum)) => {
                accumulate::add_in_place(&sum, &new)?;
                Gradient::Summed(sum)
            }
        });
        Ok(())
    }

    /// The sum of what was added, which leaves the slot empty.
    pub(crate) fn take(&self) -> Option<Tensor> {
        let gradient = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        gradient.map(|gradient| match gradient {
            Gradient::Arrived(tensor) | Gradient::Summed(tensor) => tensor,
        })
    }
}
