// A factor and an offset for each channel, both in f32.

// `x * weight + bias` for (N,C,plane).
template <class T>
__device__ void channel_affine_forward(const T* input, const float* weight, const float* bias,
                                       T* output, Index n, Index channels, Index plane) {
    for (Index i : each_element(n)) {
        Index channel = i / plane % channels;
        output[i] = narrow<T>(wide(input[i]) * weight[channel] + bias[channel]);
    }
}
KERNELS(channel_affine_forward)
