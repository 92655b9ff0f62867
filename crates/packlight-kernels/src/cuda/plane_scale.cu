// A factor for each plane.

template <class T>
__device__ void plane_scale_scale(const T* input, const T* factors, T* output, Index n, Index plane) {
    for (Index i : each_element(n)) output[i] = narrow<T>(wide(input[i]) * wide(factors[i / plane]));
}
KERNELS(plane_scale_scale)

// The sums over planes of products, in f64: a warp for each plane.
template <class T>
__device__ void plane_scale_products(const T* a, const T* b, T* sums, Index planes, Index size) {
    for (Index plane : each_of_warp(planes)) {
        double sum = 0;
        for (Index i : each_in_warp(size))
            sum += double(wide(a[plane * size + i])) * wide(b[plane * size + i]);
        sum = join_warp(sum, Sum());
        if (threadIdx.x % 32 == 0) sums[plane] = narrow<T>(float(sum));
    }
}
KERNELS(plane_scale_products)
