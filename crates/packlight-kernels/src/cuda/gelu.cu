// GELU in its exact form, `x Φ(x)`.

template <class T> __device__ void gelu_forward(const T* input, T* output, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]), z = size_up_to(x, 40);
        float left = z * lifted_tail(z).tail * UNLIFT;
        output[i] = narrow<T>(x < 0 ? -left : x - left);
    }
}
KERNELS(gelu_forward)

// `grad * (Φ(x) + x φ(x))`.
template <class T>
__device__ void gelu_backward(const T* input, const T* grad, T* result, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]), z = size_up_to(x, 40);
        Tail of = lifted_tail(z);
        float left = (of.tail - z * of.density) * UNLIFT;
        result[i] = narrow<T>(wide(grad[i]) * (x < 0 ? left : 1.0f - left));
    }
}
KERNELS(gelu_backward)
