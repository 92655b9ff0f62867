// Sums of squares, in f64: those of pieces, a block each, then the sum of these.

template <class T>
__device__ void square_pieces(const T* input, double* sums, Index n, Index piece_size) {
    for (Index piece : each_of_block((n + piece_size - 1) / piece_size)) {
        Index first = piece * piece_size, left = n - first < piece_size ? n - first : piece_size;
        double sum = 0;
        for (Index i : each_in_block(left)) {
            double x = wide(input[first + i]);
            sum += x * x;
        }
        sum = join_block(sum, Sum());
        if (threadIdx.x == 0) sums[piece] = sum;
    }
}
KERNELS(square_pieces)

__device__ void square_sum(const double* sums, double* all, Index pieces) {
    for (Index only : each_of_block(1)) {
        double sum = 0;
        for (Index piece : each_in_block(pieces)) sum += sums[piece];
        sum = join_block(sum, Sum());
        if (threadIdx.x == 0) all[only] = sum;
    }
}
KERNEL(square_sum)
