//! Other gradients than the exact ones.

pub mod dither;
pub mod gradient_filter;
pub mod resprop;
