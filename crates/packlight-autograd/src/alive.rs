//! The memory of activations that are alive, in a pass over blanks.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Tensor, TensorId};
use packlight_kernels::blank::is_blank;

use crate::saved::size_of;
use crate::{Ledger, Pass};

/// Has the ledger count the memory of an activation's data until it is dropped.
pub(crate) struct Alive {
    ledger: Ledger,
    memory: TensorId,
}

impl Alive {
    /// Enters the memory of `data` into the pass's ledger; `None` where there is none, or `data` is no blank.
    pub(crate) fn of(data: &Tensor, pass: &Pass) -> Option<Self> {
        let ledger = pass.ledger().filter(|_| is_blank(data))?;
        Some(Self { ledger: ledger.clone(), memory: ledger.lives(data, pass.is_again()) })
    }

    /// Says that an operation writes its output over this memory, unless it was kept as it is.
    pub(crate) fn yields(&self) {
        self.ledger.yields(self.memory);
    }

    /// Says that the caller of the pass, too, holds this memory until the backward pass begins.
    pub(crate) fn is_held_outside(&self) {
        self.ledger.is_held_outside(self.memory);
    }

    /// Says that `view` is a view of this memory.
    pub(crate) fn is_viewed_as(&self, view: &Tensor) {
        self.ledger.is_viewed_as(self.memory, view);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.ledger.dies(self.memory);
    }
}

/// The memory of all activations that are alive, each by the tensor that it was made for.
#[derive(Default)]
pub(crate) struct Memories {
    alive: HashMap<TensorId, Memory>,
    /// The tensors of which a tensor is a view.
    views: HashMap<TensorId, TensorId>,
    /// Tensors that the caller of the pass holds, too, as a trainer does its batch, until the backward pass begins.
    outside: Vec<TensorId>,
    /// The layers that keep a tensor as it is.
    whole: HashMap<TensorId, Arc<str>>,
}

struct Memory {
    /// How many are alive.
    activations: usize,
    bytes: usize,
    /// Whether an operation would have written its output over it, had it not been kept as it is.
    yields: bool,
}

/// The bytes of activations that are alive.
pub(crate) struct Flowing {
    /// Those that are not kept as they are.
    pub(crate) bytes: usize,
    /// Those that are, and would be alive all the same if what is kept of them were packed.
    pub(crate) restorable: usize,
    /// What is left of these without the inputs of one layer.
    pub(crate) restorable_of_others: usize,
}

impl Memories {
    /// The bytes that are alive while a layer works.
    pub(crate) fn flowing(&self, layer: Option<&Arc<str>>) -> Flowing {
        let mut flowing = Flowing { bytes: 0, restorable: 0, restorable_of_others: 0 };
        for (id, &Memory { bytes, yields, .. }) in &self.alive {
            match self.whole.get(id) {
                None => flowing.bytes += bytes,
                Some(_) if yields => {}
                Some(keeper) => {
                    flowing.restorable += bytes;
                    flowing.restorable_of_others += if Some(keeper) == layer { 0 } else { bytes };
                }
            }
        }
        flowing
    }

    /// An activation of this data is there; returns what its memory is called.
    pub(crate) fn lives(&mut self, data: &Tensor) -> TensorId {
        let id = self.id(data);
        let new = || Memory { activations: 0, bytes: size_of(data), yields: false };
        self.alive.entry(id).or_insert_with(new).activations += 1;
        id
    }

    /// An activation of this memory is gone.
    pub(crate) fn dies(&mut self, id: TensorId) {
        if let Some(memory) = self.alive.get_mut(&id) {
            memory.activations -= 1;
            if memory.activations == 0 {
                self.alive.remove(&id);
            }
        }
    }

    /// An operation writes its output over this memory, unless it was kept as it is.
    pub(crate) fn yields(&mut self, id: TensorId) {
        if let Some(memory) = self.alive.get_mut(&id) {
            memory.yields = self.whole.contains_key(&id);
        }
    }

    /// `view` is a view of this memory.
    pub(crate) fn is_viewed_as(&mut self, id: TensorId, view: &Tensor) {
        self.views.insert(view.id(), id);
    }

    /// The caller of the pass holds this memory, too, which counts as one more activation.
    pub(crate) fn is_held_outside(&mut self, id: TensorId) {
        if let Some(memory) = self.alive.get_mut(&id) {
            memory.activations += 1;
            self.outside.push(id);
        }
    }

    /// The caller lets go of what it holds.
    pub(crate) fn leave(&mut self) {
        for id in std::mem::take(&mut self.outside) {
            self.dies(id);
        }
    }

    /// A layer keeps a tensor as it is; returns what its memory is called.
    pub(crate) fn is_kept(&mut self, tensor: &Tensor, layer: &Arc<str>) -> TensorId {
        let id = self.id(tensor);
        self.whole.insert(id, layer.clone());
        id
    }

    /// The layer has freed it.
    pub(crate) fn is_freed(&mut self, id: TensorId) {
        self.whole.remove(&id);
    }

    /// What the memory of a tensor is called.
    fn id(&self, tensor: &Tensor) -> TensorId {
        self.views.get(&tensor.id()).copied().unwrap_or(tensor.id())
    }
}
