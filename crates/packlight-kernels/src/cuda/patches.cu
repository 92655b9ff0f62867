// Sums and means over rectangular patches of an image, and the way back to pixels.

// Adjacent patches along one axis of an image; the first begins `before` pixels before its edge.
struct Patches {
    Index count, size, before, length;

    // Where a patch begins within the image; the one after the last: where that ends.
    __device__ Index start(Index number) const {
        Index at = number * size - before;
        return at < 0 ? 0 : at < length ? at : length;
    }
    // The patch that holds a pixel, or -1.
    __device__ Index of(Index pixel) const {
        Index at = pixel + before;
        return at >= 0 && at < count * size ? at / size : -1;
    }
};

// Sums over the patches of each plane, or means: sums of columns first, as on the CPU.
template <class T>
__device__ void patches_reduce(const T* images, T* result, Index n, uint32_t mean, Index rows,
                               Index tall, Index above, Index height, Index columns, Index broad,
                               Index left, Index width) {
    Patches vertical{rows, tall, above, height}, horizontal{columns, broad, left, width};
    for (Index at : each_element(n)) {
        Divided line = divide(at, columns), plane = divide(line.quotient, rows);
        Index top = vertical.start(plane.rest), bottom = vertical.start(plane.rest + 1);
        Index first = horizontal.start(line.rest), end = horizontal.start(line.rest + 1);
        const T* image = images + plane.quotient * height * width;
        float sum = -0.0f;
        for (Index x = first; x < end; x++) {
            float of_column = 0;
            for (Index y = top; y < bottom; y++) of_column += wide(image[y * width + x]);
            sum += of_column;
        }
        Index pixels = (bottom - top) * (end - first);
        result[at] = narrow<T>(mean ? sum / float(pixels > 1 ? pixels : 1) : sum);
    }
}
KERNELS(patches_reduce)

// Each patch filled with its value, divided by the number of its pixels if `share`; 0 outside all patches.
template <class T>
__device__ void patches_spread(const T* values, T* images, Index n, uint32_t share, Index rows,
                               Index tall, Index above, Index height, Index columns, Index broad,
                               Index left, Index width) {
    Patches vertical{rows, tall, above, height}, horizontal{columns, broad, left, width};
    for (Index at : each_element(n)) {
        Divided line = divide(at, width), plane = divide(line.quotient, height);
        Index row = vertical.of(plane.rest), column = horizontal.of(line.rest);
        float value = 0;
        if (row >= 0 && column >= 0) {
            value = wide(values[(plane.quotient * rows + row) * columns + column]);
            Index pixels = (vertical.start(row + 1) - vertical.start(row)) *
                           (horizontal.start(column + 1) - horizontal.start(column));
            if (share) value /= float(pixels);
        }
        images[at] = narrow<T>(value);
    }
}
KERNELS(patches_spread)

// The two patches whose centres a pixel lies between, and its distance from the first as a share.
struct Between {
    Index first, second;
    double share;
};
__device__ inline Between patches_between(const Patches& patches, Index pixel) {
    double place = (double(pixel) + double(patches.before) + 0.5) / double(patches.size) - 0.5;
    double last = double(patches.count - 1);
    place = place < 0 ? 0 : place > last ? last : place;
    Index first = Index(place);
    return {first, first + 1 < patches.count ? first + 1 : patches.count - 1, place - double(first)};
}

// Values interpolated bilinearly between the patches' centres; 0 outside all patches.
template <class T>
__device__ void patches_interpolate(const T* values, T* images, Index n, Index rows, Index tall,
                                    Index above, Index height, Index columns, Index broad,
                                    Index left, Index width) {
    Patches vertical{rows, tall, above, height}, horizontal{columns, broad, left, width};
    for (Index at : each_element(n)) {
        Divided line = divide(at, width), plane = divide(line.quotient, height);
        double value = 0;
        if (vertical.of(plane.rest) >= 0 && horizontal.of(line.rest) >= 0) {
            Between y = patches_between(vertical, plane.rest);
            Between x = patches_between(horizontal, line.rest);
            const T *own = values + plane.quotient * rows * columns, *upper = own + y.first * columns;
            const T* lower = own + y.second * columns;
            double above_it = double(wide(upper[x.first])) * (1.0 - x.share) +
                              double(wide(upper[x.second])) * x.share;
            double below_it = double(wide(lower[x.first])) * (1.0 - x.share) +
                              double(wide(lower[x.second])) * x.share;
            value = above_it * (1.0 - y.share) + below_it * y.share;
        }
        images[at] = narrow<T>(float(value));
    }
}
KERNELS(patches_interpolate)
