// Dropout with a mask that is generated again from its key.

// Four elements a thread, for the four numbers of a block of the generator.
template <class T>
__device__ void dropout_apply(const T* input, T* output, uint32_t threshold, float scale,
                              uint64_t key, uint64_t step, Index n) {
    for (Index block : each_element((n + 3) / 4)) {
        Numbers numbers = philox(key, step, uint64_t(block));
#pragma unroll
        for (int k = 0; k < 4; k++) {
            Index i = 4 * block + k;
            if (i < n)
                output[i] = narrow<T>(numbers.of[k] >= threshold ? wide(input[i]) * scale : 0.0f);
        }
    }
}
KERNELS(dropout_apply)
