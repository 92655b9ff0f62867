// Softmax over the last axis, with masks for padding and causality: a warp for each row.

// The number of visible elements of a row.
struct Visible {
    Index first;            // the first row's place among all rows
    const int64_t* lengths; // of the sequences, or null
    Index rows_of_each;     // of a sequence
    Index queries, keys;
    uint32_t causal;

    __device__ Index of_row(Index number) const {
        Index row = first + number;
        Index length = lengths ? lengths[row / rows_of_each] : keys;
        length = length < keys ? length : keys;
        Index own = row % queries + 1;
        return causal && own < length ? own : length;
    }
};

template <class T>
__device__ void softmax_forward(const T* scores, T* result, const int64_t* lengths, Index first,
                                Index rows_of_each, Index queries, Index keys, uint32_t causal,
                                Index rows) {
    Visible visible{first, lengths, rows_of_each, queries, keys, causal};
    for (Index row : each_of_warp(rows)) {
        const T* own = scores + row * keys;
        Index seen = visible.of_row(row);
        float top = float_of(0xff800000);
        for (Index i : each_in_warp(seen)) top = fmaxf(top, wide(own[i]));
        top = join_warp(top, Greatest());
        double sum = 0;
        for (Index i : each_in_warp(seen)) sum += double(power_of_e(wide(own[i]) - top));
        float scale = float(1 / join_warp(sum, Sum()));
        for (Index i : each_in_warp(keys))
            result[row * keys + i] =
                narrow<T>(i < seen ? power_of_e(wide(own[i]) - top) * scale : 0.0f);
    }
}
KERNELS(softmax_forward)

// `p (g - p.g)` for the probabilities p.
template <class T>
__device__ void softmax_backward(const T* probabilities, const T* grad, T* result, Index keys,
                                 Index rows) {
    for (Index row : each_of_warp(rows)) {
        const T *p = probabilities + row * keys, *g = grad + row * keys;
        double sum = 0;
        for (Index i : each_in_warp(keys)) sum += double(wide(g[i])) * double(wide(p[i]));
        float mean = float(join_warp(sum, Sum()));
        for (Index i : each_in_warp(keys))
            result[row * keys + i] = narrow<T>(wide(p[i]) * (wide(g[i]) - mean));
    }
}
KERNELS(softmax_backward)
