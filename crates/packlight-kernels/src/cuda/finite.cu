// Whether all elements are finite.

// 0 for each piece of the input, or NaN where an element is not finite.
template <class T>
__device__ void finite_pieces(const T* input, float* found, Index n, Index size) {
    for (Index piece : each_of_block((n + size - 1) / size)) {
        Index start = piece * size, count = n - start < size ? n - start : size;
        float wrong = 0;
        for (Index i : each_in_block(count))
            if (!(fabsf(wide(input[start + i])) <= FLT_MAX)) wrong = 1;
        wrong = join_block(wrong, Greatest());
        if (threadIdx.x == 0) found[piece] = wrong == 0 ? 0 : float_of(0x7fc00000);
    }
}
KERNELS(finite_pieces)
