// Signs in one bit per element: set if it is positive.

// The signs, eight in a byte, padded to whole words of 32 bits.
template <class T> __device__ void sign_pack(const T* input, uint8_t* signs, Index n) {
    for (Index i : each_in_whole_warps(n)) {
        unsigned positive = __ballot_sync(ALL, i < n && wide(input[i]) > 0);
        if (i % 8 == 0) signs[i / 8] = uint8_t(positive >> (i % 32));
    }
}
KERNELS(sign_pack)

// The magnitude times each sign.
template <class T>
__device__ void sign_unpack(const uint8_t* signs, T* output, float magnitude, Index n) {
    for (Index i : each_element(n)) {
        bool positive = signs[i / 8] >> (i % 8) & 1;
        output[i] = narrow<T>(positive ? magnitude : -magnitude);
    }
}
KERNELS(sign_unpack)

// The input plus the magnitude times its signs.
template <class T> __device__ void sign_add(const T* input, T* output, float magnitude, Index n) {
    for (Index i : each_element(n)) {
        float x = wide(input[i]);
        output[i] = narrow<T>(x > 0 ? x + magnitude : x - magnitude);
    }
}
KERNELS(sign_add)
