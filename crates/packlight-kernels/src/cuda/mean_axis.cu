// The mean over one axis: of (outer,length,inner) over `length`.

template <class T>
__device__ void mean_axis_forward(const T* input, T* means, Index count, Index length, Index inner) {
    for (Index at : each_element(count)) {
        const T* line = input + at / inner * length * inner + at % inner;
        double sum = 0;
        for (Index i = 0; i < length; i++) sum += wide(line[i * inner]);
        means[at] = narrow<T>(float(sum / double(length)));
    }
}
KERNELS(mean_axis_forward)

template <class T>
__device__ void mean_axis_backward(const T* grad, T* result, Index count, Index length, Index inner) {
    float share = float(1 / double(length));
    for (Index at : each_element(count))
        result[at] = narrow<T>(wide(grad[at / (length * inner) * inner + at % inner]) * share);
}
KERNELS(mean_axis_backward)
