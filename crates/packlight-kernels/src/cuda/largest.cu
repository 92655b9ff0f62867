// The largest magnitude: of pieces, a block for each; infinity where an element is not finite.

template <class T> __device__ void largest_pieces(const T* input, float* largest, Index n, Index size) {
    for (Index piece : each_of_block((n + size - 1) / size)) {
        Index start = piece * size, count = n - start < size ? n - start : size;
        float top = 0;
        for (Index i : each_in_block(count)) {
            float magnitude = fabsf(wide(input[start + i]));
            if (!(magnitude <= top)) top = magnitude <= FLT_MAX ? magnitude : float_of(0x7f800000);
        }
        top = join_block(top, Greatest());
        if (threadIdx.x == 0) largest[piece] = top;
    }
}
KERNELS(largest_pieces)
