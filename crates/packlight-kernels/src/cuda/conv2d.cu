// Convolutions as products: the columns of an image, and images from columns.

// The sizes of a convolution, for `batch` samples of it.
struct Convolution {
    Index batch, channels, height, width, out_height, out_width;
    uint32_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;

    __device__ Index taps() const { return Index(kernel_height) * kernel_width; }
    __device__ Index pixels() const { return out_height * out_width; }
};

// The columns (channels, taps, batch, output pixels): for each output pixel the inputs that its taps
// read, 0 in the padding.
template <class T>
__device__ void conv2d_columns(const T* input, T* columns, Index batch, Index channels,
                               Index height, Index width, Index out_height, Index out_width,
                               uint32_t kernel_height, uint32_t kernel_width, uint32_t stride_y,
                               uint32_t stride_x, uint32_t pad_y, uint32_t pad_x,
                               uint32_t dilation_y, uint32_t dilation_x) {
    Convolution of{batch,        channels,     height,   width,    out_height, out_width, kernel_height,
                   kernel_width, stride_y,     stride_x, pad_y,    pad_x,      dilation_y, dilation_x};
    for (Index i : each_element(of.channels * of.taps() * of.batch * of.pixels())) {
        Divided row = divide(i, of.batch * of.pixels()), tap = divide(row.quotient, of.taps());
        Divided sample = divide(row.rest, of.pixels()), pixel = divide(sample.rest, of.out_width);
        Divided at = divide(tap.rest, of.kernel_width);
        Index y = pixel.quotient * of.stride_y + at.quotient * of.dilation_y - Index(of.pad_y);
        Index x = pixel.rest * of.stride_x + at.rest * of.dilation_x - Index(of.pad_x);
        bool within = y >= 0 && y < of.height && x >= 0 && x < of.width;
        Index plane = sample.quotient * of.channels + tap.quotient;
        columns[i] = within ? input[(plane * of.height + y) * of.width + x] : narrow<T>(0);
    }
}
KERNELS(conv2d_columns)

// The input's gradient from that of its columns: each pixel adds up what the taps that read it got.
template <class T>
__device__ void conv2d_image(const T* columns, T* image, Index batch, Index channels, Index height,
                             Index width, Index out_height, Index out_width,
                             uint32_t kernel_height, uint32_t kernel_width, uint32_t stride_y,
                             uint32_t stride_x, uint32_t pad_y, uint32_t pad_x,
                             uint32_t dilation_y, uint32_t dilation_x) {
    Convolution of{batch,        channels,     height,   width,    out_height, out_width, kernel_height,
                   kernel_width, stride_y,     stride_x, pad_y,    pad_x,      dilation_y, dilation_x};
    for (Index i : each_element(of.batch * of.channels * of.height * of.width)) {
        Divided line = divide(i, of.width), plane = divide(line.quotient, of.height);
        Divided sample = divide(plane.quotient, of.channels);
        float sum = 0;
        for (uint32_t tap_y = 0; tap_y < of.kernel_height; tap_y++) {
            Index y = plane.rest + of.pad_y - Index(tap_y) * of.dilation_y;
            if (y < 0 || y % of.stride_y != 0 || y / of.stride_y >= of.out_height) continue;
            for (uint32_t tap_x = 0; tap_x < of.kernel_width; tap_x++) {
                Index x = line.rest + of.pad_x - Index(tap_x) * of.dilation_x;
                if (x < 0 || x % of.stride_x != 0 || x / of.stride_x >= of.out_width) continue;
                Index row = sample.rest * of.taps() + tap_y * of.kernel_width + tap_x;
                Index pixel = y / of.stride_y * of.out_width + x / of.stride_x;
                sum += wide(columns[(row * of.batch + sample.quotient) * of.pixels() + pixel]);
            }
        }
        image[i] = narrow<T>(sum);
    }
}
KERNELS(conv2d_image)

// The sum over samples and pixels of each channel: a block for each.
template <class T>
__device__ void conv2d_bias_grad(const T* grad, T* sums, Index samples, Index channels,
                                 Index pixels) {
    for (Index channel : each_of_block(channels)) {
        double sum = 0;
        for (Index i : each_in_block(samples * pixels)) {
            Divided sample = divide(i, pixels);
            sum += double(wide(grad[(sample.quotient * channels + channel) * pixels + sample.rest]));
        }
        sum = join_block(sum, Sum());
        if (threadIdx.x == 0) sums[channel] = narrow<T>(float(sum));
    }
}
KERNELS(conv2d_bias_grad)
