// The random offsets of stochastic rounding, those of `noise.rs`: a task (a piece of the tensor) has a
// stream of its own, drawn SIZE at a time. A run of codes takes its offsets side by side, so that it
// leaves out the rest of a draw that is too short for it.
#pragma once

constexpr unsigned NOISE_SIZE = 1024;
// Offsets of eight blocks of the generator: the lower halves of their 32 numbers, and the upper ones.
constexpr unsigned NOISE_CHUNK = 64;
// Numbers that a run of codes needs at most, wherever it begins.
constexpr unsigned NOISE_NUMBERS = (RUN / NOISE_CHUNK + 1) * 32;

// Where a run of `count` codes begins if those before it end at `at`.
__device__ inline Index noise_start(Index at, unsigned count) {
    return at % NOISE_SIZE + count > NOISE_SIZE ? (at / NOISE_SIZE + 1) * NOISE_SIZE : at;
}

// Where so many whole runs end that begin after `at`.
__device__ inline Index noise_after(Index at, Index runs) {
    Index fit = (NOISE_SIZE - at % NOISE_SIZE) / RUN;
    if (runs <= fit) return at + runs * RUN;
    return (at / NOISE_SIZE + 1) * NOISE_SIZE + (runs - fit) * RUN;
}

struct NoiseKey {
    uint64_t key, step;
};

// Draws the numbers for `count` offsets from the place `at` of a piece on; by the lanes of a warp.
__device__ inline void noise_draw(uint32_t* numbers, NoiseKey key, Index piece, Index at,
                                  unsigned count) {
    Index first = at / NOISE_CHUNK, last = (at + count - 1) / NOISE_CHUNK;
    for (Index i : each_in_warp((last - first + 1) * 8)) {
        uint64_t block = (uint64_t(piece) << 32) + uint64_t(first * 8 + i);
        Numbers drawn = philox(key.key, key.step, block);
        for (int k = 0; k < 4; k++) numbers[i / 8 * 32 + k * 8 + i % 8] = drawn.of[k];
    }
}

// The offset at the place `at + i`, from the numbers that were drawn from `at` on: an odd multiple of
// 2^-16 between -1/2 and 1/2.
__device__ inline float noise_offset(const uint32_t* numbers, Index at, unsigned i) {
    unsigned place = unsigned(at % NOISE_CHUNK) + i, within = place % NOISE_CHUNK;
    uint32_t number = numbers[place / NOISE_CHUNK * 32 + within % 32];
    uint32_t half = within < 32 ? number & 0xffff : number >> 16;
    return float_of(0x3f800000 | (half | 1) << 7) - 1.5f;
}
