// The logistic function.

template <class T> __device__ void sigmoid_forward(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]);
        float lifted = lifted_exp(-size_up_to(x, 800), 0);
        float half = 1.0f / (1.0f + lifted * UNLIFT);
        output[i] = narrow<T>(x < 0 ? lifted * half * UNLIFT : half);
    }
}
KERNELS(sigmoid_forward)

// `grad * y (1 - y)` for the output `y`.
template <class T>
__device__ void sigmoid_backward(const T* output, const T* grad, T* result, Index n) {
    for (Index i : each_element(n)) {
        float y = wide(output[i]);
        result[i] = narrow<T>(wide(grad[i]) * y * (1.0f - y));
    }
}
KERNELS(sigmoid_backward)
