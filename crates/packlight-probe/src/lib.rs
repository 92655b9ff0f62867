//! Compares exact and compressed gradients.
//!
//! [`SideBySide`] observes one backward pass and compares, layer by layer, the weight gradient from
//! the exact input with that from the compressed one; a codec on a conv or linear layer changes
//! nothing else. [`whole_pass()`] compares two complete backward passes. It also covers codecs on
//! layers whose input gradient depends on what was kept (norms, activation functions).
//!
//! [`OneOn`] tries codecs at one layer at a time, all others exact: at conv and linear layers as many
//! as one likes in a single pass, elsewhere one in a pass. [`survey()`] tells beforehand what the
//! layers save, and which codecs can pack it; [`times()`] measures how long that takes.

pub mod metric;
pub mod one_on;
pub mod side_by_side;
pub mod survey;
pub mod times;
pub mod whole_pass;

mod error;
mod exact_codecs;

pub use error::{Error, Result};
pub use metric::fidelity;
pub use one_on::{Effect, OneOn, Outcome, Trial, settle};
pub use side_by_side::SideBySide;
pub use survey::{Fixed, Packing, Survey, Surveyed, survey};
pub use times::{Timed, Times, times};
pub use whole_pass::whole_pass;
