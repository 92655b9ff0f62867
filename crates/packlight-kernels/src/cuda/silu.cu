// SiLU, `x σ(x)`.

template <class T> __device__ void silu_forward(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]), z = size_up_to(x, 800);
        float lifted = lifted_exp(-z, 0);
        float left = z * lifted / (1.0f + lifted * UNLIFT) * UNLIFT;
        output[i] = narrow<T>(x < 0 ? -left : x - left);
    }
}
KERNELS(silu_forward)

// `grad * σ(x) (1 + x (1 - σ(x)))`.
template <class T>
__device__ void silu_backward(const T* input, const T* grad, T* result, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]), z = size_up_to(x, 800);
        float lifted = lifted_exp(-z, 0);
        float half = 1.0f / (1.0f + lifted * UNLIFT);
        float left = lifted * half * (1.0f - z * half) * UNLIFT;
        result[i] = narrow<T>(wide(grad[i]) * (x < 0 ? left : 1.0f - left));
    }
}
KERNELS(silu_backward)
