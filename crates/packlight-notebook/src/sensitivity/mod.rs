//! What was measured of single layers, and the plans made from it: `packlight sensitivity` and
//! `packlight allocate` in cells.
//!
//! [`measure_sensitivity`](packlight_study::measure_sensitivity) measures, or `packlight sensitivity` has
//! done so. [`read`] averages the scores into a [`Measured`](packlight_allocation::Measured). Of that,
//! [`errors`] is a data frame, [`error_map`] and [`frontier`] are figures. Its own `allocate` finds the
//! allocation for a budget of bytes, of which `plan` is the text for `study.toml` and [`choices`] a table
//! that says why.
//!
//! All errors are lasting errors of the whole gradient, relative to its norm: the roots of
//! [`Score::lasting_error`](packlight_record::Score::lasting_error).

mod choices;
mod error;
mod errors;
mod frontier;
mod map;
mod scores;
#[cfg(test)]
mod tests;

pub use choices::choices;
pub use error::{Error, Result};
pub use errors::errors;
pub use frontier::frontier;
pub use map::error_map;
pub use scores::read;
