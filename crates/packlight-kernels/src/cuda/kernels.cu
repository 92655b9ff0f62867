// All kernels, one file each. This file alone is compiled: to PTX for the device, and by the host shim
// of `packlight-cuda-host` for the tests.
#include "common.cuh"

#include "avg_pool2d.cu"
#include "batch_norm.cu"
#include "block_pool.cu"
#include "layer_norm.cu"
#include "max_pool2d.cu"
#include "relu.cu"
