// 8-bit floats with 3 bits of mantissa (E4M3) or 2 (E5M2).

// The largest finite magnitude of each piece of the input.
template <class T>
__device__ void fp8_greatest(const T* input, float* greatest, Index n, Index size) {
    for (Index piece : each_of_block((n + size - 1) / size)) {
        Index start = piece * size, count = n - start < size ? n - start : size;
        float most = 0;
        for (Index i : each_in_block(count)) {
            float x = fabsf(wide(input[start + i]));
            if (x > most && x <= FLT_MAX) most = x;
        }
        most = join_block(most, Greatest());
        if (threadIdx.x == 0) greatest[piece] = most;
    }
}
KERNELS(fp8_greatest)

__device__ inline uint32_t fp8_bias(uint32_t mantissa) { return (1u << (6 - mantissa)) - 1; }

__device__ inline uint8_t fp8_nearest(float value, uint32_t mantissa) {
    uint32_t bias = fp8_bias(mantissa), cut = 23 - mantissa;
    float greatest = mantissa == 3 ? 448 : 57344;
    uint32_t sign = bits_of(value) >> 24 & 0x80;
    float size = fabsf(value);
    size = size < greatest ? size : greatest;
    // The mantissa is cut short, what is cut off rounds it, and the bias goes from 127 to the format's.
    uint32_t bits = bits_of(size);
    uint32_t rounded = (bits + (1u << (cut - 1)) - 1 + (bits >> cut & 1)) >> cut;
    uint32_t normal = rounded - ((127 - bias) << mantissa);
    // The steps of the lowest bits of this power of two are those of the subnormal numbers.
    uint32_t subnormal = bits_of(size + float_of((151 - bias - mantissa) << 23)) & 0xf;
    uint32_t code = (size < float_of((128 - bias) << 23) ? subnormal : normal) & 0xff;
    if (!(fabsf(value) <= FLT_MAX)) code = value == value && mantissa == 2 ? 0x7c : 0x7f;
    return uint8_t(sign | code);
}

template <class T>
__device__ void fp8_pack(const T* input, const float* scales, uint8_t* codes, uint32_t mantissa, Index row,
                         Index n) {
    for (Index i : each_element(n)) codes[i] = fp8_nearest(wide(input[i]) / scales[i / row], mantissa);
}
KERNELS(fp8_pack)

__device__ inline float fp8_value(uint8_t code, uint32_t mantissa) {
    uint32_t bias = fp8_bias(mantissa), size = code & 0x7f;
    uint32_t exponent = size >> mantissa;
    float part = float(size & ((1u << mantissa) - 1)) / float(1u << mantissa);
    float value = exponent == 0 ? part * float_of((128 - bias) << 23)
                                : (1 + part) * float_of((exponent + 127 - bias) << 23);
    if (mantissa == 2 && size == 0x7c) value = float_of(0x7f800000);
    if (size > (mantissa == 2 ? 0x7cu : 0x7eu)) value = float_of(0x7fc00000);
    return code & 0x80 ? -value : value;
}

template <class T>
__device__ void fp8_unpack(const uint8_t* codes, const float* scales, T* output, uint32_t mantissa, Index row,
                           Index n) {
    for (Index i : each_element(n)) output[i] = narrow<T>(fp8_value(codes[i], mantissa) * scales[i / row]);
}
KERNELS(fp8_unpack)
