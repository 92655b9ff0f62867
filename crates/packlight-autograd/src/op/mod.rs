//! Differentiable operations on activations: one file each, with its forward pass, what it keeps,
//! and its backward pass.

mod add;
mod avg_pool2d;
mod batch_norm;
mod checkpoint;
mod conv2d;
mod dropout;
mod gelu;
mod layer_norm;
mod linear;
mod max_pool2d;
mod relu;
mod reshape;
mod softmax_cross_entropy;
mod subsample_pad;
mod weighted;

pub use add::add;
pub use avg_pool2d::{avg_pool2d, global_avg_pool2d};
pub use batch_norm::{RunningStatistics, batch_norm};
pub use checkpoint::checkpoint;
pub use conv2d::conv2d;
pub use dropout::dropout;
pub use gelu::gelu;
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use max_pool2d::max_pool2d;
pub use packlight_kernels::conv2d::Conv2dGeometry;
pub use packlight_kernels::max_pool2d::Windows;
pub use relu::relu;
pub use reshape::{flatten, reshape};
pub use softmax_cross_entropy::softmax_cross_entropy;
pub use subsample_pad::subsample_pad;
