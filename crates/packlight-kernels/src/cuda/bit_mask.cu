// Sparse tensors as a bit mask and the values that are kept: a warp for each line of the tensor.

// Elements of a line.
constexpr Index MASK_LINE = 1024;

// The bits of the nonzero elements, eight elements in a byte.
template <class T> __device__ void bit_mask_non_zero(const T* input, uint8_t* mask, Index n) {
    for (Index i : each_in_whole_warps(n)) {
        unsigned set = __ballot_sync(ALL, i < n && bits_of(wide(input[i])) != 0);
        if (i < n && i % 8 == 0) mask[i / 8] = uint8_t(set >> (i % 32));
    }
}
KERNELS(bit_mask_non_zero)

// The number of set bits of each line.
__device__ void bit_mask_count(const uint8_t* mask, int64_t* counts, Index lines, Index bytes) {
    for (Index line : each_of_warp(lines)) {
        Index start = line * (MASK_LINE / 8), count = 0;
        for (Index i : each_in_warp(MASK_LINE / 8))
            if (start + i < bytes) count += __popc(mask[start + i]);
        count = join_warp(count, Sum());
        if (threadIdx.x % 32 == 0) counts[line] = count;
    }
}
KERNEL(bit_mask_count)

// Where each line begins if they are put one after the other, and where the last one ends: one block alone.
__device__ void bit_mask_starts(const int64_t* counts, int64_t* starts, Index lines) {
    __shared__ Index of_threads[THREADS];
    Index each = (lines + THREADS - 1) / THREADS, first = threadIdx.x * each;
    Index end = first + each < lines ? first + each : lines, sum = 0;
    for (Index line = first; line < end; line++) sum += counts[line];
    of_threads[threadIdx.x] = sum;
    __syncthreads();
    Index start = 0;
    for (unsigned thread = 0; thread < threadIdx.x; thread++) start += of_threads[thread];
    for (Index line = first; line < end; line++) {
        starts[line] = start;
        start += counts[line];
    }
    if (threadIdx.x == THREADS - 1) starts[lines] = start;
}
KERNEL(bit_mask_starts)

// Calls `each` with every element of the lines: its index, whether its bit is set, and how many bits are set
// before it.
template <class Each>
__device__ void bit_mask_walk(const uint8_t* mask, const int64_t* starts, Index lines, Index n, Each each) {
    unsigned lane = threadIdx.x % 32;
    for (Index line : each_of_warp(lines)) {
        Index next = starts[line];
        for (Index from = line * MASK_LINE; from < (line + 1) * MASK_LINE; from += 32) {
            Index i = from + lane;
            bool set = i < n && (mask[i / 8] >> (i % 8) & 1);
            unsigned votes = __ballot_sync(ALL, set);
            if (i < n) each(i, set, next + __popc(votes & ((1u << lane) - 1)));
            next += __popc(votes);
        }
    }
}

// The elements whose bits are set, in order.
template <class T>
__device__ void bit_mask_compress(const T* input, const uint8_t* mask, const int64_t* starts, T* values,
                                  Index lines, Index n) {
    bit_mask_walk(mask, starts, lines, n, [=](Index i, bool set, Index at) {
        if (set) values[at] = input[i];
    });
}
KERNELS(bit_mask_compress)

// Their indices.
__device__ void bit_mask_indices(const uint8_t* mask, const int64_t* starts, uint32_t* indices,
                                 Index lines, Index n) {
    bit_mask_walk(mask, starts, lines, n, [=](Index i, bool set, Index at) {
        if (set) indices[at] = uint32_t(i);
    });
}
KERNEL(bit_mask_indices)

// The way back, with 0 where a bit is not set.
template <class T>
__device__ void bit_mask_expand(const T* values, const uint8_t* mask, const int64_t* starts, T* output,
                                Index lines, Index n) {
    bit_mask_walk(mask, starts, lines, n, [=](Index i, bool set, Index at) {
        output[i] = set ? values[at] : narrow<T>(0);
    });
}
KERNELS(bit_mask_expand)
