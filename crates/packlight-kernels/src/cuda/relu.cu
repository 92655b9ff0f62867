// ReLU, with a mask of one bit per element.

// `max(x, 0)` (NaN for NaN), and the bits of `x > 0`, eight elements in a byte.
template <class T>
__device__ void relu_forward(const T* input, T* output, uint8_t* mask, Index n) {
    for (Index i : each_in_whole_warps(n)) {
        T value = i < n ? input[i] : narrow<T>(0);
        float x = wide(value);
        unsigned positive = __ballot_sync(ALL, x > 0);
        if (i < n) output[i] = x <= 0 ? narrow<T>(0) : value;
        if (i < n && i % 8 == 0) mask[i / 8] = uint8_t(positive >> (i % 32));
    }
}
KERNELS(relu_forward)

// `max(x, 0)` alone.
template <class T> __device__ void relu_forward_only(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) output[i] = wide(input[i]) <= 0 ? narrow<T>(0) : input[i];
}
KERNELS(relu_forward_only)

// The gradient where the mask is set, 0 elsewhere.
template <class T>
__device__ void relu_backward(const T* grad, const uint8_t* mask, T* result, Index n) {
    for (Index i : each_element(n))
        result[i] = mask[i / 8] >> (i % 8) & 1 ? grad[i] : narrow<T>(0);
}
KERNELS(relu_backward)
