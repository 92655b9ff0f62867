// A derivative that is constant between three thresholds, in two bits per element: a thread for each byte.

template <class T>
__device__ void step_derivative_codes(const T* input, uint8_t* codes, float a, float b, float c,
                                      Index n) {
    for (Index byte : each_element((n + 3) / 4)) {
        unsigned bits = 0;
        for (int place = 0; place < 4; place++) {
            Index i = 4 * byte + place;
            float x = i < n ? wide(input[i]) : 0;
            unsigned code = i < n ? (x > a) + (x > b) + (x > c) : 0;
            bits |= code << (2 * place);
        }
        codes[byte] = uint8_t(bits);
    }
}
KERNELS(step_derivative_codes)

template <class T>
__device__ void step_derivative_backward(const T* grad, const uint8_t* codes, T* result, float a,
                                         float b, float c, float d, Index n) {
    for (Index i : each_element(n)) {
        unsigned code = codes[i / 4] >> (2 * (i % 4)) & 3;
        float level = code == 0 ? a : code == 1 ? b : code == 2 ? c : d;
        result[i] = narrow<T>(wide(grad[i]) * level);
    }
}
KERNELS(step_derivative_backward)
