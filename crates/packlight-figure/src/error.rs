//! The errors of this crate.

use plotters::drawing::DrawingAreaErrorKind;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to draw.
    #[error("figure {figure}: no {what} to draw; give at least one")]
    Empty {
        /// The figure's id.
        figure: String,
        /// What is missing.
        what: &'static str,
    },
    /// Two slices that belong together have different lengths.
    #[error("figure {figure}: {what}: expected {expected} values, found {found}")]
    Length {
        /// The figure's id.
        figure: String,
        /// Which slice.
        what: String,
        /// The length that it should have.
        expected: usize,
        /// The length that it has.
        found: usize,
    },
    /// The data could not be written as CSV.
    #[error("a figure's data could not be written as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The drawing backend failed.
    #[error("a figure could not be drawn: {0}")]
    Draw(String),
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for Error {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Error::Draw(error.to_string())
    }
}
