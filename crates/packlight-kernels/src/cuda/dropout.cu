// Dropout with a mask that is generated again from its key.

// Four elements a thread, for the four numbers of a block of the generator; `first` is the place of the first
// element among all of them.
template <class T>
__device__ void dropout_apply(const T* input, T* output, uint32_t threshold, float scale,
                              uint64_t key, uint64_t step, Index first, Index n) {
    Index before = first % 4;
    for (Index block : each_element((before + n + 3) / 4)) {
        Numbers numbers = philox(key, step, uint64_t(first / 4 + block));
#pragma unroll
        for (int k = 0; k < 4; k++) {
            Index i = 4 * block + k - before;
            if (i >= 0 && i < n)
                output[i] = narrow<T>(numbers.of[k] >= threshold ? wide(input[i]) * scale : 0.0f);
        }
    }
}
KERNELS(dropout_apply)
