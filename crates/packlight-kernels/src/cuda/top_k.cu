// The largest magnitudes of equal parts of a tensor: a radix selection, some bits of the magnitudes at a
// time from the highest down. A block for each piece of a part counts in shared memory.

constexpr unsigned TOP_K_BINS = 2048;

__device__ inline uint32_t magnitude_of(float x) { return bits_of(x) & 0x7fffffff; }

// A piece of a part, of `size` elements or what is left.
struct PartPiece {
    Index part, start, count; // from the part's first element on
};
__device__ inline PartPiece piece_of_part(Index number, Index pieces, Index length, Index size) {
    Index start = number % pieces * size;
    return {number / pieces, start, length - start < size ? length - start : size};
}

// How many elements of each piece have each value of the next `digit` bits, of those whose bits from `shift`
// on are the part's prefix; `state` holds the prefix of each part and how many are still to be taken.
template <class T>
__device__ void top_k_histogram(const T* input, const int64_t* state, uint32_t* counts, Index parts,
                                Index length, Index pieces, Index size, uint32_t shift,
                                uint32_t digit) {
    __shared__ uint32_t bins[TOP_K_BINS];
    for (Index number : each_of_block(parts * pieces)) {
        PartPiece own = piece_of_part(number, pieces, length, size);
        const T* values = input + own.part * length + own.start;
        uint32_t prefix = uint32_t(state[2 * own.part]);
        for (Index i : each_in_block(Index(1) << digit)) bins[i] = 0;
        __syncthreads();
        for (Index i : each_in_block(own.count)) {
            uint32_t bits = magnitude_of(wide(values[i]));
            if (bits >> shift == prefix)
                atomicAdd(&bins[bits >> (shift - digit) & ((1u << digit) - 1)], 1u);
        }
        __syncthreads();
        for (Index i : each_in_block(Index(1) << digit)) counts[(number << digit) + i] = bins[i];
        __syncthreads();
    }
}
KERNELS(top_k_histogram)

// Adds the next digit of the last magnitude that is taken to each part's prefix: a block for each part.
__device__ void top_k_digit(const uint32_t* counts, const int64_t* state, int64_t* result, Index parts,
                            Index pieces, uint32_t digit) {
    __shared__ Index bins[TOP_K_BINS];
    for (Index part : each_of_block(parts)) {
        for (Index i : each_in_block(Index(1) << digit)) {
            Index sum = 0;
            for (Index piece = 0; piece < pieces; piece++)
                sum += counts[((part * pieces + piece) << digit) + i];
            bins[i] = sum;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            Index bin = (Index(1) << digit) - 1, left = state[2 * part + 1];
            while (bin > 0 && bins[bin] < left) left -= bins[bin--];
            result[2 * part] = state[2 * part] << digit | bin;
            result[2 * part + 1] = left;
        }
        __syncthreads();
    }
}
KERNEL(top_k_digit)

// How many elements of each piece have the part's last magnitude.
template <class T>
__device__ void top_k_equal(const T* input, const int64_t* state, int64_t* counts, Index parts,
                            Index length, Index pieces, Index size) {
    for (Index number : each_of_block(parts * pieces)) {
        PartPiece own = piece_of_part(number, pieces, length, size);
        const T* values = input + own.part * length + own.start;
        uint32_t last = uint32_t(state[2 * own.part]);
        Index count = 0;
        for (Index i : each_in_block(own.count)) count += magnitude_of(wide(values[i])) == last;
        count = join_block(count, Sum());
        if (threadIdx.x == 0) counts[number] = count;
    }
}
KERNELS(top_k_equal)

// The index within its part of the last element of the part's last magnitude that is taken: a warp for each
// part.
template <class T>
__device__ void top_k_last(const T* input, const int64_t* state, const int64_t* counts, int64_t* indices,
                           Index parts, Index length, Index pieces, Index size) {
    unsigned lane = threadIdx.x % 32;
    for (Index part : each_of_warp(parts)) {
        uint32_t last = uint32_t(state[2 * part]);
        Index left = state[2 * part + 1], piece = 0;
        while (piece + 1 < pieces && counts[part * pieces + piece] < left)
            left -= counts[part * pieces + piece++];
        Index found = length;
        for (Index from = piece * size; from < length && found == length; from += 32) {
            Index i = from + lane;
            bool equal = i < length && magnitude_of(wide(input[part * length + i])) == last;
            unsigned votes = __ballot_sync(ALL, equal);
            bool is_it = equal && __popc(votes & ((2u << lane) - 1)) == left;
            unsigned it = __ballot_sync(ALL, is_it);
            if (it) found = from + __popc(it - 1);
            left -= __popc(votes);
        }
        if (lane == 0) indices[part] = found;
    }
}
KERNELS(top_k_last)

// Whether an element is among those that are taken.
template <class T>
__device__ bool is_taken(const T* input, const int64_t* state, const int64_t* last, Index i,
                         Index length) {
    Divided place = divide(i, length);
    Index magnitude = magnitude_of(wide(input[i])), cut = state[2 * place.quotient];
    return magnitude > cut || (magnitude == cut && place.rest <= last[place.quotient]);
}

// The bits of the elements that are taken, eight elements in a byte.
template <class T>
__device__ void top_k_mask(const T* input, const int64_t* state, const int64_t* last, uint8_t* mask,
                           Index n, Index length) {
    for (Index i : each_in_whole_warps(n)) {
        unsigned taken = __ballot_sync(ALL, i < n && is_taken(input, state, last, i, length));
        if (i < n && i % 8 == 0) mask[i / 8] = uint8_t(taken >> (i % 32));
    }
}
KERNELS(top_k_mask)

// The elements that are taken, and 0 for the others.
template <class T>
__device__ void top_k_largest(const T* input, const int64_t* state, const int64_t* last, T* output,
                              Index n, Index length) {
    for (Index i : each_element(n))
        output[i] = is_taken(input, state, last, i, length) ? input[i] : narrow<T>(0);
}
KERNELS(top_k_largest)

// The elements at these indices.
template <class T>
__device__ void top_k_gather(const T* input, const uint32_t* indices, T* values, Index count) {
    for (Index i : each_element(count)) values[i] = input[indices[i]];
}
KERNELS(top_k_gather)

// Writes the values at these indices, of which no two are equal.
template <class T>
__device__ void top_k_put(T* target, const T* values, const uint32_t* indices, Index count) {
    for (Index i : each_element(count)) target[indices[i]] = values[i];
}
KERNELS(top_k_put)
