// Max-pooling of planes. The gradient of a pixel is gathered from the windows that hold it, in their order.

// The sizes that kernels take: `(Index)` declares them, `()` passes them on.
#define MAX_POOL2D(TYPE)                                                                           \
    TYPE count, TYPE height, TYPE width, TYPE rows, TYPE columns, TYPE kernel_height,              \
        TYPE kernel_width, TYPE stride_down, TYPE stride_right, TYPE padding_down,                 \
        TYPE padding_right

// A window's maximum and its index in the window: the first of equal values; NaN wins over all.
template <class T, class Place>
__device__ void max_pool2d_maxima(const T* images, T* maxima, Place* places, MAX_POOL2D(Index)) {
    for (Index at : each_element(count)) {
        Index top = at / columns % rows * stride_down - padding_down;
        Index left = at % columns * stride_right - padding_right;
        const T* plane = images + at / (rows * columns) * height * width;
        float best = float_of(0xff800000); // minus infinity
        Index place = -1;
        for (Index i = 0; i < kernel_height; i++) {
            if (top + i < 0 || top + i >= height) continue;
            for (Index j = 0; j < kernel_width; j++) {
                if (left + j < 0 || left + j >= width) continue;
                float x = wide(plane[(top + i) * width + left + j]);
                if (place < 0 || x > best || (x != x && best == best)) {
                    best = x;
                    place = i * kernel_width + j;
                }
            }
        }
        maxima[at] = narrow<T>(best);
        places[at] = Place(place < 0 ? 0 : place);
    }
}
template <class T>
__device__ void max_pool2d_forward(const T* images, T* maxima, uint8_t* places, MAX_POOL2D(Index)) {
    max_pool2d_maxima(images, maxima, places, MAX_POOL2D());
}
KERNELS(max_pool2d_forward)
// For windows of more than 256 pixels.
template <class T>
__device__ void max_pool2d_forward_large(const T* images, T* maxima, uint32_t* places,
                                         MAX_POOL2D(Index)) {
    max_pool2d_maxima(images, maxima, places, MAX_POOL2D());
}
KERNELS(max_pool2d_forward_large)

template <class T, class Place>
__device__ void max_pool2d_gather(const T* grad, const Place* places, T* result, MAX_POOL2D(Index)) {
    for (Index at : each_element(count)) {
        Index y = at / width % height + padding_down, x = at % width + padding_right;
        Index first = at / (height * width) * rows * columns;
        // The windows that hold the pixel.
        Index from_row = y < kernel_height ? 0 : (y - kernel_height) / stride_down + 1;
        Index from_column = x < kernel_width ? 0 : (x - kernel_width) / stride_right + 1;
        float sum = 0;
        for (Index row = from_row; row < rows && row * stride_down <= y; row++)
            for (Index column = from_column; column < columns && column * stride_right <= x;
                 column++) {
                Index tap = (y - row * stride_down) * kernel_width + x - column * stride_right;
                Index window = first + row * columns + column;
                if (Index(places[window]) == tap) sum += wide(grad[window]);
            }
        result[at] = narrow<T>(sum);
    }
}
template <class T>
__device__ void max_pool2d_backward(const T* grad, const uint8_t* places, T* result,
                                    MAX_POOL2D(Index)) {
    max_pool2d_gather(grad, places, result, MAX_POOL2D());
}
KERNELS(max_pool2d_backward)
template <class T>
__device__ void max_pool2d_backward_large(const T* grad, const uint32_t* places, T* result,
                                          MAX_POOL2D(Index)) {
    max_pool2d_gather(grad, places, result, MAX_POOL2D());
}
KERNELS(max_pool2d_backward_large)
#undef MAX_POOL2D
