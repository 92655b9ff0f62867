// Pooling of saved activations: means over blocks of a plane, and their copies over the block.

// Means of blocks, those at the edge of the elements that they hold: sums of columns first, as on the CPU.
template <class T>
__device__ void block_pool_means(const T* images, T* pooled, Index count, Index height, Index width,
                                 Index rows, Index columns, Index block) {
    for (Index at : each_element(count)) {
        Index top = at / columns % rows * block, left = at % columns * block;
        Index bottom = top + block < height ? top + block : height;
        Index right = left + block < width ? left + block : width;
        const T* plane = images + at / (rows * columns) * height * width;
        float sum = 0;
        for (Index x = left; x < right; x++) {
            float of_column = wide(plane[top * width + x]);
            for (Index y = top + 1; y < bottom; y++) of_column += wide(plane[y * width + x]);
            sum += of_column;
        }
        Index size = (bottom - top) * (right - left);
        // The CPU multiplies where a block's width is known when it is compiled.
        bool known = right - left == block && (block == 2 || block == 4);
        pooled[at] = narrow<T>(known ? sum * float(1 / double(size)) : sum / float(size));
    }
}
KERNELS(block_pool_means)

template <class T>
__device__ void block_pool_copies(const T* pooled, T* images, Index count, Index height, Index width,
                                  Index rows, Index columns, Index block) {
    for (Index at : each_element(count)) {
        Index row = at / width % height / block, column = at % width / block;
        images[at] = pooled[(at / (height * width) * rows + row) * columns + column];
    }
}
KERNELS(block_pool_copies)
