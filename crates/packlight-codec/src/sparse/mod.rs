//! The largest values, or those that are not zero.

pub mod bitmap;
pub mod block_sparse;
pub mod surgeon;
pub mod swat;
pub mod top_k;

pub(crate) mod masked;

/// This share of `count`, to the nearest whole number, but at least one of what there is.
pub(crate) fn share_of(share: f64, count: usize) -> usize {
    ((share * count as f64).round() as usize).clamp(count.min(1), count)
}
