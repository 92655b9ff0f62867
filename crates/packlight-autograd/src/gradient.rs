//! The gradient of one activation or parameter, on its way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Shape, Tensor};
use packlight_kernels::accumulate;

use crate::Result;

/// Where the consumers of an activation or a parameter add up its gradient.
///
/// A tensor that arrives may be held by others, too: an operation may pass the very tensor that it
/// was given to several slots, or a view of it, and candle hands back the same tensor where there
/// is nothing to compute. So nothing is ever added to a tensor that is not known to be owned.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Gradient>>>);

/// A gradient, and who holds it.
pub(crate) enum Gradient {
    /// Others may hold this tensor or a view of it, too.
    Shared(Tensor),
    /// A contiguous tensor that nothing else holds, which may be written over.
    Owned(Tensor),
}

impl Gradient {
    pub(crate) fn tensor(&self) -> &Tensor {
        let (Gradient::Shared(tensor) | Gradient::Owned(tensor)) = self;
        tensor
    }

    pub(crate) fn into_tensor(self) -> Tensor {
        let (Gradient::Shared(tensor) | Gradient::Owned(tensor)) = self;
        tensor
    }
}

impl Slot {
    /// Adds a gradient to those that are already there, in the order in which they come.
    pub(crate) fn add(&self, new: Gradient) -> Result<()> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(match (slot.take(), new) {
            (None, new) => new,
            (Some(Gradient::Shared(first)), Gradient::Shared(second)) => {
                Gradient::Owned(accumulate::add(&first, &second)?)
            }
            // A sum of two has the same bits in either order.
            (Some(Gradient::Owned(sum)), other) | (Some(other), Gradient::Owned(sum)) => {
                accumulate::add_in_place(&sum, other.tensor())?;
                Gradient::Owned(sum)
            }
        });
        Ok(())
    }

    /// Adds a gradient of the elements whose index along `axis` is `start` or one of the next, of an
    /// activation of this shape; that of the others is 0.
    pub(crate) fn add_part(
        &self,
        part: &Tensor,
        shape: &Shape,
        axis: usize,
        start: usize,
    ) -> Result<()> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let zeros = || Tensor::zeros(shape, part.dtype(), part.device());
        let sum = match slot.take() {
            None => zeros()?,
            Some(Gradient::Shared(first)) => accumulate::add(&first, &zeros()?)?,
            Some(Gradient::Owned(sum)) => sum,
        };
        accumulate::add_part_in_place(&sum, axis, start, part)?;
        *slot = Some(Gradient::Owned(sum));
        Ok(())
    }

    /// The sum of what was added so far, which stays.
    pub(crate) fn held(&self) -> Option<Tensor> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|gradient| gradient.tensor().clone())
    }

    /// The sum of what was added, which leaves the slot empty.
    pub(crate) fn take(&self) -> Option<Gradient> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
