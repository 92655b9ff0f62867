// Codes of normalised values over a fixed range, which preserve the exact sign of the norm's output.

// The codes of a channel: code c stands for values from `low + c step` to `low + (c + 1) step`, times
// `sign`. A table of these has eight numbers a channel.
struct FixedChannel {
    float sign, low, step, zero, weight, bias, above, below;
};

// The channels of a norm; `affine` is 0 for the codes' normalised values, without weight and bias.
__device__ void fixed_range_channels(const float* weights, const float* biases, float* table,
                                     uint32_t bits, uint32_t affine, Index channels) {
    const double RANGE = 6;
    for (Index c : each_element(channels)) {
        float weight = weights[c], bias = biases[c];
        double codes = double(1u << bits), size = fabs(double(weight));
        double infinity = double(float_of(0x7f800000));
        // How far, in deviations, the output's mean lies above 0.
        double above = size > 0 ? double(bias) / size : bias > 0 ? infinity : -infinity;
        double step = RANGE / codes;
        double zero = codes / 2 - floor(above / step);
        double low;
        if (zero < 1) {
            zero = 1;
            step = RANGE / (codes - 1);
            low = -RANGE / 2 - step;
        } else if (zero > codes - 1) {
            zero = codes - 1;
            step = RANGE / (codes - 1);
            low = -RANGE / 2;
        } else {
            low = -zero * step - above;
        }
        float half = float(size * step / 2);
        FixedChannel found{weight < 0 ? -1.0f : 1.0f, float(low), float(step), float(zero), weight,
                           bias, half > FLT_MIN ? half : FLT_MIN, -half};
        if (!affine) {
            found.weight = 1;
            found.bias = 0;
            found.above = -float(infinity);
            found.below = float(infinity);
        }
        memcpy(table + 8 * c, &found, sizeof found);
    }
}
KERNEL(fixed_range_channels)

__device__ inline FixedChannel fixed_channel(const float* table, Index channel) {
    FixedChannel found;
    memcpy(&found, table + 8 * channel, sizeof found);
    return found;
}

__device__ inline uint8_t fixed_code(const FixedChannel& of, float value, float top) {
    const float INTEGER = 12582912.0f; // leaves the nearest integer in the lowest bits
    float place = ceilf((of.sign * value - of.low) / of.step) - 1.0f;
    bool positive = value * of.weight + of.bias > 0;
    float least = positive ? of.zero : 0, most = positive ? top : of.zero - 1.0f;
    place = place > least ? place : least;
    place = place < most ? place : most;
    return uint8_t(bits_of(place + INTEGER));
}

__device__ inline float fixed_value(const FixedChannel& of, unsigned code) {
    float middle = of.sign * ((float(code) + 0.5f) * of.step + of.low);
    float value = middle * of.weight + of.bias;
    float above = value > of.above ? value : of.above, below = value < of.below ? value : of.below;
    return float(code) >= of.zero ? above : below;
}

// A warp for each run of a sample.
template <class T>
__device__ void fixed_range_pack(const T* input, const float* table, uint8_t* codes, uint32_t bits,
                                 Index samples, Index sample, Index plane) {
    __shared__ uint8_t codes_of[WARPS][RUN];
    uint8_t* own = codes_of[threadIdx.x / 32];
    float top = float(255u >> (8 - bits));
    Index runs = (sample + RUN - 1) / RUN;
    for (Index number : each_of_warp(samples * runs)) {
        Index in_sample = number / runs, start = number % runs * RUN;
        unsigned count = unsigned(sample - start < RUN ? sample - start : RUN);
        const T* values = input + in_sample * sample + start;
        for (Index i : each_in_warp(RUN)) {
            uint8_t code = 0;
            if (i < count)
                code = fixed_code(fixed_channel(table, (start + i) / plane), wide(values[i]), top);
            own[i] = code;
        }
        __syncwarp();
        uint8_t* target = codes + in_sample * packed_bytes(sample, bits) +
                          number % runs * run_bytes(RUN, bits);
        pack_run(own, count, bits, target);
        __syncwarp();
    }
}
KERNELS(fixed_range_pack)

__device__ void fixed_range_restore(const uint8_t* codes, const float* table, float* output,
                                    uint32_t bits, Index samples, Index sample, Index plane) {
    Index runs = (sample + RUN - 1) / RUN;
    for (Index number : each_of_warp(samples * runs)) {
        Index in_sample = number / runs, start = number % runs * RUN;
        unsigned count = unsigned(sample - start < RUN ? sample - start : RUN);
        const uint8_t* packed = codes + in_sample * packed_bytes(sample, bits) +
                                number % runs * run_bytes(RUN, bits);
        for (Index i : each_in_warp(count)) {
            unsigned code = unpack_code(packed, unsigned(i), count, bits);
            output[in_sample * sample + start + i] =
                fixed_value(fixed_channel(table, (start + i) / plane), code);
        }
    }
}
KERNEL(fixed_range_restore)
