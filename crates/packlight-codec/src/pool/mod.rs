//! Means of blocks, alone or with a residual of a few bits.

pub mod block_means;
pub mod division;
