// All kernels, one file each. This file alone is compiled: to PTX for the device, and by the host shim
// of `packlight-cuda-host` for the tests.
#include "common.cuh"

#include "bit_pack.cuh"
#include "exponential.cuh"
#include "noise.cuh"

#include "conv2d.cu"
#include "dropout.cu"
#include "finite.cu"
#include "fixed_range.cu"
#include "fp8.cu"
#include "gelu.cu"
#include "linear.cu"
#include "quantise.cu"
#include "relu.cu"
#include "relu6.cu"
#include "sigmoid.cu"
#include "sign.cu"
#include "silu.cu"
#include "softmax.cu"
