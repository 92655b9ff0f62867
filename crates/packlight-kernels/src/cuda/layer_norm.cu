// Layer normalisation over the last axis: a warp for each token. Statistics, sums and parameters are in f32 or f64
// whatever the type of the tokens.

template <class T>
__device__ void layer_norm_forward(const T* input, const float* weight, const float* bias, T* output,
                                   float* mean, float* inverse, Index tokens, Index n,
                                   double epsilon) {
    for (Index token : each_of_warp(tokens)) {
        const T* x = input + token * n;
        double sum = 0, squares = 0;
        for (Index i : each_in_warp(n)) sum += wide(x[i]);
        double center = join_warp(sum, Sum()) / double(n);
        for (Index i : each_in_warp(n)) squares += (wide(x[i]) - center) * (wide(x[i]) - center);
        double scale = 1 / sqrt(join_warp(squares, Sum()) / double(n) + epsilon);
        for (Index i : each_in_warp(n)) {
            float normalised = float((wide(x[i]) - center) * scale);
            output[token * n + i] = narrow<T>(normalised * weight[i] + bias[i]);
        }
        if (threadIdx.x % 32 == 0) {
            mean[token] = float(center);
            inverse[token] = float(scale);
        }
    }
}
KERNELS(layer_norm_forward)

// The gradient of the input.
template <class T>
__device__ void layer_norm_backward(const T* input, const T* grad, const float* mean,
                                    const float* inverse, const float* weight, T* result,
                                    Index tokens, Index n) {
    for (Index token : each_of_warp(tokens)) {
        const T *x = input + token * n, *g = grad + token * n;
        double center = mean[token], scale = inverse[token];
        double offset = 0, slope = 0;
        for (Index i : each_in_warp(n)) {
            double scaled = double(wide(g[i])) * weight[i];
            offset += scaled;
            slope += scaled * (wide(x[i]) - center);
        }
        offset = join_warp(offset, Sum()) / double(n);
        slope = join_warp(slope, Sum()) * scale * scale / double(n);
        for (Index i : each_in_warp(n)) {
            double scaled = double(wide(g[i])) * weight[i];
            double centered = scaled - offset - (wide(x[i]) - center) * slope;
            result[token * n + i] = narrow<T>(float(scale * centered));
        }
    }
}
KERNELS(layer_norm_backward)

// The sum over a block's warps of the values of each lane, in all of them; all threads must come here.
__device__ inline double layer_norm_join_warps(double value) {
    __shared__ double of_warps[WARPS][32];
    unsigned lane = threadIdx.x % 32;
    __syncthreads(); // everyone has read what the last call left
    of_warps[threadIdx.x / 32][lane] = value;
    __syncthreads();
    double sum = 0;
    for (unsigned warp = 0; warp < WARPS; warp++) sum += of_warps[warp][lane];
    return sum;
}

// What each piece of so many tokens adds to the gradients of weight and bias, both (pieces,n): a block for 32
// features of a piece.
template <class T>
__device__ void layer_norm_pieces(const T* input, const T* grad, const float* mean,
                                  const float* inverse, double* of_weight, double* of_bias,
                                  Index tokens, Index n, Index piece_size) {
    Index groups = (n + 31) / 32, pieces = (tokens + piece_size - 1) / piece_size;
    for (Index item : each_of_block(pieces * groups)) {
        Index piece = item / groups, i = item % groups * 32 + threadIdx.x % 32;
        Index end = (piece + 1) * piece_size < tokens ? (piece + 1) * piece_size : tokens;
        double by_weight = 0, by_bias = 0;
        if (i < n)
            for (Index token = piece * piece_size + threadIdx.x / 32; token < end; token += WARPS) {
                double g = wide(grad[token * n + i]);
                double centered = wide(input[token * n + i]) - double(mean[token]);
                by_weight += g * centered * inverse[token];
                by_bias += g;
            }
        by_weight = layer_norm_join_warps(by_weight);
        by_bias = layer_norm_join_warps(by_bias);
        if (threadIdx.x < 32 && i < n) {
            of_weight[piece * n + i] = by_weight;
            of_bias[piece * n + i] = by_bias;
        }
    }
}
KERNELS(layer_norm_pieces)

// The gradients of weight and bias: the sums over the pieces.
__device__ void layer_norm_parameters(const double* of_weight, const double* of_bias, float* weight,
                                      float* bias, Index pieces, Index n) {
    for (Index group : each_of_block((n + 31) / 32)) {
        Index i = group * 32 + threadIdx.x % 32;
        double by_weight = 0, by_bias = 0;
        if (i < n)
            for (Index piece = threadIdx.x / 32; piece < pieces; piece += WARPS) {
                by_weight += of_weight[piece * n + i];
                by_bias += of_bias[piece * n + i];
            }
        by_weight = layer_norm_join_warps(by_weight);
        by_bias = layer_norm_join_warps(by_bias);
        if (threadIdx.x < 32 && i < n) {
            weight[i] = float(by_weight);
            bias[i] = float(by_bias);
        }
    }
}
KERNEL(layer_norm_parameters)
