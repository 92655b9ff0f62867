// Average pooling of planes. The gradient of a pixel is gathered from the windows that hold it, in their order.

// Means over windows: sums in f32, line by line.
template <class T>
__device__ void avg_pool2d_forward(const T* images, T* means, Index count, Index height, Index width,
                                   Index rows, Index columns, Index kernel_height,
                                   Index kernel_width, Index stride_down, Index stride_right) {
    float scale = float(1.0 / double(kernel_height * kernel_width));
    for (Index at : each_element(count)) {
        Index top = at / columns % rows * stride_down, left = at % columns * stride_right;
        const T* plane = images + at / (rows * columns) * height * width;
        float sum = -0.0f; // the sum of nothing, which changes no sum
        for (Index i = 0; i < kernel_height; i++)
            for (Index j = 0; j < kernel_width; j++)
                sum += wide(plane[(top + i) * width + left + j]);
        means[at] = narrow<T>(sum * scale);
    }
}
KERNELS(avg_pool2d_forward)

template <class T>
__device__ void avg_pool2d_backward(const T* grad, T* result, Index count, Index height, Index width,
                                    Index rows, Index columns, Index kernel_height,
                                    Index kernel_width, Index stride_down, Index stride_right) {
    float scale = float(1.0 / double(kernel_height * kernel_width));
    for (Index at : each_element(count)) {
        Index y = at / width % height, x = at % width;
        const T* of_plane = grad + at / (height * width) * rows * columns;
        // The windows that hold the pixel.
        Index from_row = y < kernel_height ? 0 : (y - kernel_height) / stride_down + 1;
        Index from_column = x < kernel_width ? 0 : (x - kernel_width) / stride_right + 1;
        float sum = 0;
        for (Index row = from_row; row < rows && row * stride_down <= y; row++)
            for (Index column = from_column; column < columns && column * stride_right <= x; column++)
                sum += wide(of_plane[row * columns + column]) * scale;
        result[at] = narrow<T>(sum);
    }
}
KERNELS(avg_pool2d_backward)

// Means of whole planes: a warp for each, in f64.
template <class T>
__device__ void avg_pool2d_global(const T* images, T* means, Index planes, Index pixels) {
    for (Index plane : each_of_warp(planes)) {
        double sum = 0;
        for (Index i : each_in_warp(pixels)) sum += wide(images[plane * pixels + i]);
        sum = join_warp(sum, Sum());
        if (threadIdx.x % 32 == 0) means[plane] = narrow<T>(float(sum / double(pixels)));
    }
}
KERNELS(avg_pool2d_global)

template <class T>
__device__ void avg_pool2d_global_backward(const T* grad, T* result, Index count, Index pixels) {
    float scale = float(1.0 / double(pixels));
    for (Index i : each_element(count)) result[i] = narrow<T>(wide(grad[i / pixels]) * scale);
}
KERNELS(avg_pool2d_global_backward)
