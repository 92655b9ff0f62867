// GELU in its approximate form, `x σ(2u)` with `2u = SCALE x (1 + CUBIC x²)`.

constexpr float GELU_SCALE = 1.5957691216057307, GELU_CUBIC = 0.044715;

// `2u` for z >= 0.
__device__ inline float gelu_twice_u(float z) {
    return GELU_SCALE * z * (1.0f + GELU_CUBIC * z * z);
}

template <class T> __device__ void gelu_tanh_forward(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]), z = size_up_to(x, 22);
        float lifted = lifted_exp(-gelu_twice_u(z), 0);
        float left = z * lifted / (1.0f + lifted * UNLIFT) * UNLIFT;
        output[i] = narrow<T>(x < 0 ? -left : x - left);
    }
}
KERNELS(gelu_tanh_forward)

// `grad * σ(2u) (1 + 2 x u' (1 - σ(2u)))`.
template <class T>
__device__ void gelu_tanh_backward(const T* input, const T* grad, T* result, Index n) {
    const float CUBIC = 3.0 * 0.044715;
    for (Index i : each_element(n)) {
        float x = wide(input[i]), z = size_up_to(x, 22);
        float lifted = lifted_exp(-gelu_twice_u(z), 0);
        float half = 1.0f / (1.0f + lifted * UNLIFT);
        float rise = z * GELU_SCALE * (1.0f + CUBIC * z * z);
        float left = lifted * half * (1.0f - rise * half) * UNLIFT;
        result[i] = narrow<T>(wide(grad[i]) * (x < 0 ? left : 1.0f - left));
    }
}
KERNELS(gelu_tanh_backward)
