//! Paired differences, changes between two studies, Holm's correction, the power of tests, medians
//! and rank correlation.

pub(crate) mod change;
pub(crate) mod holm;
pub(crate) mod median;
pub(crate) mod paired;
pub(crate) mod power;
pub(crate) mod rank;

pub(crate) use packlight_allocation::student;
