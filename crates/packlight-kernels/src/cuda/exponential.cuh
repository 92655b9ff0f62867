// The exponential and the normal distribution's tail in f32, step by step as in `exponential.rs` and
// `normal.rs`, so that both devices get the same bits.
#pragma once

constexpr unsigned LIFT = 64;
// The factor that undoes the scaling of what is lifted.
constexpr float UNLIFT = 1.0f / 18446744073709551616.0f;

// `2^lift e^(high - low)`.
__device__ inline float raise_e(float high, float low, unsigned lift) {
    const float ROUND = 12582912.0f; // 1.5 * 2^23
    float rounded = high * 1.44269504f + ROUND;
    float n = rounded - ROUND;
    float r = (high - n * 0.6933594f) - n * -2.1219444e-4f - low;
    float polynomial = 1.9875691e-4f;
    polynomial = polynomial * r + 1.3981999e-3f;
    polynomial = polynomial * r + 8.333452e-3f;
    polynomial = polynomial * r + 4.1665796e-2f;
    polynomial = polynomial * r + 0.16666666f;
    polynomial = polynomial * r + 0.5f;
    float power = float_of((bits_of(rounded) + 127 + lift) << 23);
    return (polynomial * r * r + r + 1.0f) * power;
}

// `e^x`; 0 below the normal numbers, at most e^88.3.
__device__ inline float power_of_e(float x) {
    const float LOWEST = -87.3f, HIGHEST = 88.3f;
    float within = x < LOWEST ? LOWEST : x > HIGHEST ? HIGHEST : x;
    float result = raise_e(within, 0, 0);
    return x < LOWEST ? 0 : result;
}

// `2^64 e^(high - low)` for high <= 0 and a small low.
__device__ inline float lifted_exp(float high, float low) {
    const float LOWEST = -130.0f;
    return raise_e(high < LOWEST ? LOWEST : high, low, LIFT);
}

// The normal distribution's `Φ(-z)` and density `φ(z)` for z >= 0, lifted.
struct Tail {
    float tail, density;
};
__device__ inline Tail lifted_tail(float z) {
    float head = float_of(bits_of(z) & 0xfffff000);
    float power = lifted_exp(-0.5f * head * head, 0.5f * (z - head) * (z + head));
    float t = 1.0f / (1.0f + 0.35f * z);
    float ratio = -0.02915793f;
    ratio = ratio * t + 0.14403112f;
    ratio = ratio * t + -0.2558394f;
    ratio = ratio * t + 0.15932016f;
    ratio = ratio * t + -0.023212662f;
    ratio = ratio * t + 0.10555263f;
    ratio = ratio * t + 0.11982126f;
    ratio = ratio * t + 0.13986352f;
    ratio = ratio * t + 0.1396213f;
    return {ratio * t * power, 0.3989423f * power};
}

// `|x|`, at most `far`, which acts as infinity without giving infinity * 0.
__device__ inline float size_up_to(float x, float far) {
    float size = fabsf(x);
    return size > far ? far : size;
}
