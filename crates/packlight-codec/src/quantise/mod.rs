//! Codes of a few bits.

pub mod actnn;
pub mod alam;
pub mod gact;
pub mod mesa;
pub mod outlier;
pub mod quantised;

pub(crate) mod grouped;
