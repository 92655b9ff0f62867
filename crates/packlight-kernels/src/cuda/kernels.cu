// All kernels, one file each. This file alone is compiled: to PTX for the device, and by the host shim
// of `packlight-cuda-host` for the tests.
#include "common.cuh"
#include "exponential.cuh"

#include "accumulate.cu"
#include "argmax.cu"
#include "avg_pool2d.cu"
#include "batch_norm.cu"
#include "block_pool.cu"
#include "channel_affine.cu"
#include "cross_entropy.cu"
#include "layer_norm.cu"
#include "max_pool2d.cu"
#include "mean_axis.cu"
#include "optimizer.cu"
#include "plane_scale.cu"
#include "relu.cu"
#include "square.cu"
