// The shortcut of CIFAR ResNets: every stride-th pixel, between channels of zeros.

template <class T>
__device__ void subsample_forward(const T* images, T* output, Index count, Index channels,
                                  Index of_image, Index before, Index height, Index width, Index rows,
                                  Index columns, Index stride) {
    for (Index at : each_element(count)) {
        Divided line = divide(at, columns), plane = divide(line.quotient, rows);
        Divided image = divide(plane.quotient, channels);
        Index channel = image.rest - before;
        T value = narrow<T>(0);
        if (channel >= 0 && channel < of_image) {
            Index from = (image.quotient * of_image + channel) * height + plane.rest * stride;
            value = images[from * width + line.rest * stride];
        }
        output[at] = value;
    }
}
KERNELS(subsample_forward)

template <class T>
__device__ void subsample_backward(const T* grad, T* result, Index count, Index channels,
                                   Index of_image, Index before, Index height, Index width, Index rows,
                                   Index columns, Index stride) {
    for (Index at : each_element(count)) {
        Divided line = divide(at, width), plane = divide(line.quotient, height);
        Divided image = divide(plane.quotient, of_image);
        Divided row = divide(plane.rest, stride), column = divide(line.rest, stride);
        T value = narrow<T>(0);
        if (row.rest == 0 && column.rest == 0) {
            Index from = image.quotient * channels + before + image.rest;
            value = grad[(from * rows + row.quotient) * columns + column.quotient];
        }
        result[at] = value;
    }
}
KERNELS(subsample_backward)
