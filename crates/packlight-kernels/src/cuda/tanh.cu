// The hyperbolic tangent, by the device's own function.

template <class T> __device__ void tanh_forward(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) output[i] = narrow<T>(tanhf(wide(input[i])));
}
KERNELS(tanh_forward)

// `grad (1 - y²)` for the output y.
template <class T>
__device__ void tanh_backward(const T* output, const T* grad, T* result, Index n) {
    for (Index i : each_element(n)) {
        float y = wide(output[i]);
        result[i] = narrow<T>(wide(grad[i]) * (1.0f - y) * (1.0f + y));
    }
}
KERNELS(tanh_backward)
