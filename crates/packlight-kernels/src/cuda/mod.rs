//! The kernels on CUDA devices. Not run on a GPU so far: the tests run them on the CPU, through the
//! host shim of `packlight-cuda-host`.
//!
//! A kernel has two files here. `NAME.cu` is CUDA C++. `NAME.rs` is the *twin* of `src/NAME.rs`: it
//! says with which blocks and arguments the kernels of `NAME.cu` are called ([`Call`]), as plain data,
//! so that tests run the twins as they are. The public function checks shapes, then hands tensors on a
//! CUDA device to its twin with one line, `on_cuda!`. Only `device.rs`, `pool.rs` and
//! `cudnn.rs` know CUDA.

pub mod accumulate;
pub mod argmax;
pub mod attention;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod batched_matmul;
pub mod bit_mask;
pub mod block_pool;
pub mod block_sparse;
pub mod channel_affine;
pub mod conv2d;
pub mod cross_entropy;
pub mod dither;
pub mod division;
pub mod dropout;
pub mod finite;
pub mod fixed_range;
pub mod fp8;
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
pub mod patches;
pub mod plane_scale;
pub mod quantise;
pub mod relu;
pub mod relu6;
pub mod sigmoid;
pub mod sign;
pub mod silu;
pub mod softmax;
pub mod square;
pub mod step_derivative;
pub mod subsample;
pub mod tanh;
pub mod top_k;

mod call;
#[cfg(feature = "cudnn")]
mod cudnn;
#[cfg(feature = "cuda")]
mod device;
mod launch;
mod pointwise;
#[cfg(feature = "cuda")]
pub(crate) mod pool;
mod product;

pub use call::{Argument, Call, ConvolutionPass, Gpu};
pub use launch::{Launch, THREADS};

/// Returns what the twin computes if the tensor is on a CUDA device:
/// `on_cuda!(input => relu::forward(input))`.
macro_rules! on_cuda {
    ($tensor:expr => $module:ident::$function:ident($($argument:expr),* $(,)?)) => {
        #[cfg(feature = "cuda")]
        if let candle_core::Device::Cuda(gpu) = $tensor.device() {
            return $crate::cuda::$module::$function(gpu, $($argument),*);
        }
    };
}

pub(crate) use on_cuda;
