//! Projections of tokens.

pub mod basis;
pub mod compact;
pub mod pamm;
pub mod velora;

pub(crate) mod tokens;
