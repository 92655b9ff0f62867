// Batch normalisation of (N,C,pixels). A channel's sums are those of its pieces, a block each, so that few channels
// fill a device as well; statistics, sums and parameters are in f32 or f64 whatever the type of the input.

// Elements of a channel in a piece (`batch_norm.rs`).
constexpr Index BATCH_NORM_PIECE = 8192;

__device__ inline Index batch_norm_pieces(Index samples, Index pixels) {
    return (samples * pixels + BATCH_NORM_PIECE - 1) / BATCH_NORM_PIECE;
}
// How many elements a piece has.
__device__ inline Index batch_norm_count(Index piece, Index samples, Index pixels) {
    Index left = samples * pixels - piece * BATCH_NORM_PIECE;
    return left < BATCH_NORM_PIECE ? left : BATCH_NORM_PIECE;
}

// Calls `f` with the index of each element of a channel's piece that is this thread's, one of its block's threads.
template <class F>
__device__ void batch_norm_each(Index channel, Index piece, Index samples, Index channels,
                                Index pixels, F f) {
    Index first = piece * BATCH_NORM_PIECE + threadIdx.x;
    Index sample = first / pixels, pixel = first % pixels;
    Index whole = THREADS / pixels, rest = THREADS % pixels;
    Index count = batch_norm_count(piece, samples, pixels);
    for (Index i = threadIdx.x; i < count; i += THREADS) {
        f((sample * channels + channel) * pixels + pixel);
        sample += whole;
        pixel += rest;
        if (pixel >= pixels) {
            pixel -= pixels;
            sample++;
        }
    }
}

// Mean and sum of squared deviations of each piece, both (C,pieces).
template <class T>
__device__ void batch_norm_statistics(const T* input, double* means, double* squares, Index samples,
                                      Index channels, Index pixels) {
    Index pieces = batch_norm_pieces(samples, pixels);
    for (Index item : each_of_block(channels * pieces)) {
        Index channel = item / pieces, piece = item % pieces;
        double sum = 0, square = 0;
        batch_norm_each(channel, piece, samples, channels, pixels,
                        [&](Index i) { sum += wide(input[i]); });
        double mean = join_block(sum, Sum()) / double(batch_norm_count(piece, samples, pixels));
        batch_norm_each(channel, piece, samples, channels, pixels, [&](Index i) {
            square += (wide(input[i]) - mean) * (wide(input[i]) - mean);
        });
        square = join_block(square, Sum());
        if (threadIdx.x == 0) {
            means[item] = mean;
            squares[item] = square;
        }
    }
}
KERNELS(batch_norm_statistics)

// Mean and biased variance of each channel, by Chan, Golub and LeVeque's rule: deviations within the pieces and
// between them.
__device__ void batch_norm_join_statistics(const double* means, const double* squares, float* mean,
                                           double* variance, Index samples, Index channels,
                                           Index pixels) {
    Index pieces = batch_norm_pieces(samples, pixels);
    double all = double(samples * pixels);
    for (Index channel : each_of_warp(channels)) {
        double sum = 0, square = 0;
        for (Index piece : each_in_warp(pieces))
            sum += double(batch_norm_count(piece, samples, pixels)) * means[channel * pieces + piece];
        double center = join_warp(sum, Sum()) / all;
        for (Index piece : each_in_warp(pieces)) {
            double distance = means[channel * pieces + piece] - center;
            square += squares[channel * pieces + piece] +
                      double(batch_norm_count(piece, samples, pixels)) * (distance * distance);
        }
        square = join_warp(square, Sum());
        if (threadIdx.x % 32 == 0) {
            mean[channel] = float(center);
            variance[channel] = square / all;
        }
    }
}
KERNEL(batch_norm_join_statistics)

// `(x - mean) * inverse * weight + bias`: a warp for each plane.
template <class T>
__device__ void batch_norm_normalise(const T* input, const float* mean, const float* inverse,
                                     const float* weight, const float* bias, T* output, Index planes,
                                     Index channels, Index pixels) {
    for (Index plane : each_of_warp(planes)) {
        Index channel = plane % channels;
        float center = mean[channel], scale = inverse[channel];
        float factor = weight[channel], offset = bias[channel];
        const T* x = input + plane * pixels;
        T* y = output + plane * pixels;
        for (Index i : each_in_warp(pixels))
            y[i] = narrow<T>((wide(x[i]) - center) * scale * factor + offset);
    }
}
KERNELS(batch_norm_normalise)

// The sums of each piece's gradients, and of their products with deviations from the mean, both (C,pieces).
template <class T>
__device__ void batch_norm_sums(const T* input, const T* grad, const float* mean, double* totals,
                                double* products, Index samples, Index channels, Index pixels) {
    Index pieces = batch_norm_pieces(samples, pixels);
    for (Index item : each_of_block(channels * pieces)) {
        Index channel = item / pieces, piece = item % pieces;
        double center = mean[channel], total = 0, product = 0;
        batch_norm_each(channel, piece, samples, channels, pixels, [&](Index i) {
            double g = wide(grad[i]);
            total += g;
            product += g * (wide(input[i]) - center);
        });
        total = join_block(total, Sum());
        product = join_block(product, Sum());
        if (threadIdx.x == 0) {
            totals[item] = total;
            products[item] = product;
        }
    }
}
KERNELS(batch_norm_sums)

// The gradients of weight and bias, and (scale, offset, slope) of each channel: what the gradient of its elements
// needs.
__device__ void batch_norm_join_sums(const double* totals, const double* products,
                                     const float* inverse, const float* weight, float* by_weight,
                                     float* by_bias, float* factors, Index samples, Index channels,
                                     Index pixels) {
    Index pieces = batch_norm_pieces(samples, pixels);
    double all = double(samples * pixels);
    for (Index channel : each_of_warp(channels)) {
        double total = 0, product = 0;
        for (Index piece : each_in_warp(pieces)) {
            total += totals[channel * pieces + piece];
            product += products[channel * pieces + piece];
        }
        total = join_warp(total, Sum());
        product = join_warp(product, Sum()) * inverse[channel];
        if (threadIdx.x % 32 != 0) continue;
        by_weight[channel] = float(product);
        by_bias[channel] = float(total);
        factors[3 * channel] = weight[channel] * inverse[channel];
        factors[3 * channel + 1] = float(total / all);
        factors[3 * channel + 2] = float(product / all) * inverse[channel];
    }
}
KERNEL(batch_norm_join_sums)

// `scale * (g - offset - (x - mean) * slope)`: a warp for each plane.
template <class T>
__device__ void batch_norm_differentiate(const T* input, const T* grad, const float* mean,
                                         const float* factors, T* result, Index planes,
                                         Index channels, Index pixels) {
    for (Index plane : each_of_warp(planes)) {
        Index channel = plane % channels;
        float center = mean[channel], scale = factors[3 * channel];
        float offset = factors[3 * channel + 1], slope = factors[3 * channel + 2];
        for (Index i : each_in_warp(pixels)) {
            Index at = plane * pixels + i;
            float inner = wide(grad[at]) - offset - (wide(input[at]) - center) * slope;
            result[at] = narrow<T>(scale * inner);
        }
    }
}
template <class T>
__device__ void batch_norm_backward(const T* input, const T* grad, const float* mean,
                                    const float* factors, T* result, Index planes, Index channels,
                                    Index pixels) {
    batch_norm_differentiate(input, grad, mean, factors, result, planes, channels, pixels);
}
KERNELS(batch_norm_backward)
// The same in place of the gradient.
template <class T>
__device__ void batch_norm_backward_in_place(const T* input, T* grad, const float* mean,
                                             const float* factors, Index planes, Index channels,
                                             Index pixels) {
    batch_norm_differentiate<T>(input, grad, mean, factors, grad, planes, channels, pixels);
}
KERNELS(batch_norm_backward_in_place)
