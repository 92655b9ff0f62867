// All kernels, one file each. This file alone is compiled: to PTX for the device, and by the host shim
// of `packlight-cuda-host` for the tests.
#include "common.cuh"

#include "batch_norm.cu"
#include "layer_norm.cu"
#include "relu.cu"
