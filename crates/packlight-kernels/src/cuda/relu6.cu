// ReLU6, with a mask of one bit per element.

template <class T> __device__ T relu6_of(T value) {
    float x = wide(value);
    return x <= 0 ? narrow<T>(0) : x >= 6 ? narrow<T>(6) : value;
}

// `min(max(x, 0), 6)` (NaN for NaN), and the bits of `0 < x < 6`, eight elements in a byte.
template <class T>
__device__ void relu6_forward(const T* input, T* output, uint8_t* mask, Index n) {
    for (Index i : each_in_whole_warps(n)) {
        T value = i < n ? input[i] : narrow<T>(0);
        unsigned within = __ballot_sync(ALL, wide(value) > 0 && wide(value) < 6);
        if (i < n) output[i] = relu6_of(value);
        if (i < n && i % 8 == 0) mask[i / 8] = uint8_t(within >> (i % 32));
    }
}
KERNELS(relu6_forward)

// `min(max(x, 0), 6)` alone.
template <class T> __device__ void relu6_forward_only(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) output[i] = relu6_of(input[i]);
}
KERNELS(relu6_forward_only)
