//! The memory of activations that are alive, in a pass over blanks.

use candle_core::{Tensor, TensorId};
use packlight_kernels::blank::is_blank;

use crate::{Ledger, Pass};

/// The memory of an activation's data, which the ledger counts as long as any such is there for it.
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
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.ledger.dies(self.memory);
    }
}
