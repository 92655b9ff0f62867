//! Projections of tokens.

pub mod compact;
pub mod pamm;
pub mod velora;

pub(crate) mod tokens;
