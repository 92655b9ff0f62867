// Feature maps as means of blocks and a residual.

// How a map is divided into blocks.
struct MapBlocks {
    Index rows, columns, height, width, across, blocks; // blocks: of a map, `across` side by side

    __device__ Index of(Index row, Index column) const {
        return row / height * across + column / width;
    }
};

// The means of blocks: sums of columns first, as on the CPU. A thread for each.
template <class T>
__device__ void division_means(const T* input, bf16* means, Index count, Index rows, Index columns,
                               Index height, Index width, Index across, Index blocks) {
    for (Index at : each_element(count)) {
        Index map = at / blocks, block = at % blocks;
        Index top = block / across * height, left = block % across * width;
        Index bottom = top + height < rows ? top + height : rows;
        Index right = left + width < columns ? left + width : columns;
        const T* values = input + map * rows * columns;
        float sum = 0;
        for (Index x = left; x < right; x++) {
            float of_column = 0;
            for (Index y = top; y < bottom; y++) of_column += wide(values[y * columns + x]);
            sum += of_column;
        }
        means[at] = narrow<bf16>(sum / float((bottom - top) * (right - left)));
    }
}
KERNELS(division_means)

// Elements without the means of their blocks.
template <class T>
__device__ void division_residual(const T* input, const bf16* means, float* left, Index count,
                                  Index rows, Index columns, Index height, Index width, Index across,
                                  Index blocks) {
    MapBlocks map{rows, columns, height, width, across, blocks};
    for (Index at : each_element(count)) {
        Divided line = divide(at, columns), row = divide(line.quotient, rows);
        left[at] = wide(input[at]) - wide(means[row.quotient * blocks + map.of(row.rest, line.rest)]);
    }
}
KERNELS(division_residual)

// The way back.
template <class T>
__device__ void division_restore(const float* left, const bf16* means, T* output, Index count,
                                 Index rows, Index columns, Index height, Index width, Index across,
                                 Index blocks) {
    MapBlocks map{rows, columns, height, width, across, blocks};
    for (Index at : each_element(count)) {
        Divided line = divide(at, columns), row = divide(line.quotient, rows);
        float mean = wide(means[row.quotient * blocks + map.of(row.rest, line.rest)]);
        output[at] = narrow<T>(left[at] + mean);
    }
}
KERNELS(division_restore)
