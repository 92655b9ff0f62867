//! Factors of low rank.

pub mod asi;
pub mod hosvd;
pub mod qb;
pub mod svd;

pub(crate) mod factors;
pub(crate) mod scaling;
pub(crate) mod tucker;
