// 8-bit floats with 4 exponent and 3 mantissa bits (E4M3).

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

__device__ inline uint8_t fp8_nearest(float value) {
    uint32_t sign = bits_of(value) >> 24 & 0x80;
    float size = fabsf(value);
    size = size < 448 ? size : 448;
    // The mantissa is cut to 3 bits, what is cut off rounds it, and the bias goes from 127 to 7.
    uint32_t bits = bits_of(size);
    uint32_t normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120 << 3);
    // 2^14 has steps of 2^-9 in its lowest bits.
    uint32_t subnormal = bits_of(size + 16384.0f) & 0xf;
    uint32_t code = (size < 1.0f / 64 ? subnormal : normal) & 0xff;
    if (!(fabsf(value) <= FLT_MAX)) code = 0x7f;
    return uint8_t(sign | code);
}

template <class T>
__device__ void fp8_pack(const T* input, uint8_t* codes, float scale, Index n) {
    for (Index i : each_element(n)) codes[i] = fp8_nearest(wide(input[i]) / scale);
}
KERNELS(fp8_pack)

__device__ inline float fp8_value(uint8_t code) {
    uint32_t exponent = code >> 3 & 0xf, mantissa = code & 7;
    float size = exponent == 0 ? float(mantissa) / 512
                               : (1 + float(mantissa) / 8) * float_of((exponent + 120) << 23);
    if ((code & 0x7f) == 0x7f) size = float_of(0x7fc00000);
    return code & 0x80 ? -size : size;
}

template <class T>
__device__ void fp8_unpack(const uint8_t* codes, T* output, float scale, Index n) {
    for (Index i : each_element(n)) output[i] = narrow<T>(fp8_value(codes[i]) * scale);
}
KERNELS(fp8_unpack)
