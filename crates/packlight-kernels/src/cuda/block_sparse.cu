// Matrices that keep only their strongest blocks.

// The sums of the blocks' magnitudes, in f64: a warp for each block.
template <class T>
__device__ void block_sparse_scores(const T* matrix, double* scores, Index rows, Index columns,
                                    Index block, Index across, Index count) {
    for (Index number : each_of_warp(count)) {
        Index top = number / across * block, left = number % across * block;
        Index high = rows - top < block ? rows - top : block;
        Index broad = columns - left < block ? columns - left : block;
        double sum = 0;
        for (Index i : each_in_warp(high * broad))
            sum += double(fabsf(wide(matrix[(top + i / broad) * columns + left + i % broad])));
        sum = join_warp(sum, Sum());
        if (threadIdx.x % 32 == 0) scores[number] = sum;
    }
}
KERNELS(block_sparse_scores)

// The elements of some blocks, with 0 beyond the matrix.
template <class T>
__device__ void block_sparse_pack(const T* matrix, const int64_t* places, T* blocks, Index count,
                                  Index rows, Index columns, Index block, Index across) {
    for (Index at : each_element(count)) {
        Divided line = divide(at, block), own = divide(line.quotient, block);
        Index place = places[own.quotient];
        Index row = place / across * block + own.rest, column = place % across * block + line.rest;
        blocks[at] = row < rows && column < columns ? matrix[row * columns + column] : narrow<T>(0);
    }
}
KERNELS(block_sparse_pack)

// Puts blocks where they belong.
template <class T>
__device__ void block_sparse_unpack(T* matrix, const T* blocks, const int64_t* places, Index count,
                                    Index rows, Index columns, Index block, Index across) {
    for (Index at : each_element(count)) {
        Divided line = divide(at, block), own = divide(line.quotient, block);
        Index place = places[own.quotient];
        Index row = place / across * block + own.rest, column = place % across * block + line.rest;
        if (row < rows && column < columns) matrix[row * columns + column] = blocks[at];
    }
}
KERNELS(block_sparse_unpack)
