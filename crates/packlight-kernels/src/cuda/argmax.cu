// The index of the first largest element of each row; 0 for a row of NaN: a warp for each row.

template <class T> __device__ void argmax_rows(const T* rows, uint32_t* indices, Index count, Index n) {
    for (Index row : each_of_warp(count)) {
        const T* x = rows + row * n;
        float top = float_of(0xff800000); // minus infinity
        for (Index i : each_in_warp(n)) top = Greatest()(top, wide(x[i]));
        top = join_warp(top, Greatest());
        Index first = n;
        for (Index i : each_in_warp(n))
            if (first == n && wide(x[i]) == top) first = i;
        first = join_warp(first, Least());
        if (threadIdx.x % 32 == 0) indices[row] = first == n ? 0 : uint32_t(first);
    }
}
KERNELS(argmax_rows)
