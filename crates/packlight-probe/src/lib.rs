//! Compares exact and compressed gradients.
//!
//! [`SideBySide`] observes one backward pass and compares, layer by layer, the weight gradient from
//! the exact input with that from the compressed one; a codec on a conv or linear layer changes
//! nothing else. [`whole_pass()`] compares two complete backward passes. It also covers codecs on
//! layers whose input gradient depends on what was kept (norms, activation functions).

pub mod metric;
pub mod side_by_side;
pub mod whole_pass;

mod error;

pub use error::{Error, Result};
pub use metric::fidelity;
pub use side_by_side::SideBySide;
pub use whole_pass::whole_pass;
