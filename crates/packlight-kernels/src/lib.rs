//! Numeric kernels on candle tensors, and the counter-based random generator.
//!
//! A kernel is a function from tensors to tensors. Each has its own file, defines no gradient and
//! does not know what is saved or why. Kernels accept any layout (they copy a tensor that is not
//! contiguous where they need to), compute in f32 or f64, and give the same bits for any number of
//! threads: the shapes alone determine how work is divided into tasks, and every sum is taken
//! within a task or over the tasks in order.
//!
//! A kernel returns [`Error::NoDeviceKernel`] for a device that it does not support.

pub mod accumulate;
pub mod argmax;
pub mod attention;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod batched_matmul;
pub mod bit_mask;
pub mod blank;
pub mod block_pool;
pub mod block_sparse;
pub mod channel_affine;
pub mod conv2d;
pub mod cross_entropy;
pub mod cuda;
pub mod device_memory;
pub mod dither;
pub mod division;
pub mod dropout;
pub mod finite;
pub mod fixed_range;
pub mod fp8;
pub mod gaussian;
pub mod gelu;
pub mod gelu_tanh;
pub mod gram;
pub mod largest;
pub mod layer_norm;
pub mod linear;
pub mod max_pool2d;
pub mod mean_axis;
pub mod mode_product;
pub mod nearest_line;
pub mod optimizer;
pub mod orthonormalise;
pub mod patches;
pub mod permute;
pub mod plane_scale;
pub mod quantise;
pub mod relu;
pub mod relu6;
pub mod rng;
pub mod sigmoid;
pub mod sign;
pub mod silu;
pub mod softmax;
pub mod square;
pub mod step_derivative;
pub mod subsample;
pub mod symmetric_eigen;
pub mod tanh;
pub mod top_k;
pub mod values;

mod bit_pack;
mod dtype;
mod error;
mod exponential;
mod lapack;
mod matmul;
mod noise;
mod normal;
mod par_vec;
mod simd_dispatch;
mod sum;
mod tensor_io;
mod unfolding;

pub use error::{Error, Result};
pub use par_vec::LARGEST_PIECE;
