// Random rounding to multiples of a step.

// `step * floor(x / step + u)`: four elements a thread, for the four numbers of a block of the generator.
template <class T>
__device__ void dither_round(const T* input, T* output, double step, uint64_t key, uint64_t turn,
                             Index n) {
    for (Index block : each_element((n + 3) / 4)) {
        Numbers numbers = philox(key, turn, uint64_t(block));
#pragma unroll
        for (int k = 0; k < 4; k++) {
            Index i = 4 * block + k;
            double u = double(numbers.of[k]) / 4294967296.0;
            if (i < n) output[i] = narrow<T>(float(floor(double(wide(input[i])) / step + u) * step));
        }
    }
}
KERNELS(dither_round)

// The sum in f64 of the elements of each piece, or of the squares of their distances from `centre`: a block
// for each.
template <class T>
__device__ void dither_sums(const T* input, double* sums, double centre, uint32_t squares, Index n,
                            Index size) {
    for (Index piece : each_of_block((n + size - 1) / size)) {
        Index start = piece * size, count = n - start < size ? n - start : size;
        double sum = 0;
        for (Index i : each_in_block(count)) {
            double x = double(wide(input[start + i])) - centre;
            sum += squares ? x * x : x;
        }
        sum = join_block(sum, Sum());
        if (threadIdx.x == 0) sums[piece] = sum;
    }
}
KERNELS(dither_sums)
