//! Student's t, paired differences, Holm's correction and the power of tests.

pub(crate) mod holm;
pub(crate) mod median;
pub(crate) mod paired;
pub(crate) mod power;
pub(crate) mod student;
