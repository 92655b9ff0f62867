//! Exact and compressed gradients side by side, and the fidelity metrics computed from them.
//!
//! [`SideBySide`] looks at one backward pass and compares, layer by layer, the weight gradient of
//! the exact input with that of the compressed one: what a codec on a conv or linear layer changes
//! is just that. [`whole_pass()`] compares two complete backward passes, so that codecs on layers
//! whose input gradient depends on what was kept (norms, non-linear functions) can be judged too.

pub mod metric;
pub mod side_by_side;
pub mod whole_pass;

mod error;

pub use error::{Error, Result};
pub use metric::fidelity;
pub use side_by_side::SideBySide;
pub use whole_pass::whole_pass;
