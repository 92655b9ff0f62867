// Sums of tensors of the same shape.

template <class T> __device__ void accumulate_add(const T* a, const T* b, T* sum, Index n) {
    for (Index i : each_element(n)) sum[i] = narrow<T>(wide(a[i]) + wide(b[i]));
}
KERNELS(accumulate_add)

template <class T> __device__ void accumulate_add_in_place(T* target, const T* addend, Index n) {
    for (Index i : each_element(n)) target[i] = narrow<T>(wide(target[i]) + wide(addend[i]));
}
KERNELS(accumulate_add_in_place)
