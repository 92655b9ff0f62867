// Affine quantisation of groups of neighbouring values to a few bits: a warp for each group.

// How the tensor is divided into groups, and where the codes of each are.
struct Grouped {
    Index row, group, groups;
    uint32_t bits;           // of every row, where `row_bits` is null
    Index row_bytes;
    const uint8_t* row_bits; // of each row
    const int64_t* starts;   // where the codes of each row begin

    __device__ Index per_row() const { return (row + group - 1) / group; }
    // The number of elements of a group.
    __device__ Index len(Index number) const {
        Index rest = row - number % per_row() * group;
        return rest < group ? rest : group;
    }
};

struct Group {
    Index element, len, byte;
    uint32_t bits;
};
__device__ inline Group group_of(const Grouped& all, Index number) {
    Index row = number / all.per_row(), within = number % all.per_row();
    Group found;
    found.element = row * all.row + within * all.group;
    found.len = all.len(number);
    found.bits = all.row_bits ? all.row_bits[row] : all.bits;
    found.byte = (all.row_bits ? all.starts[row] : row * all.row_bytes) +
                 within * packed_bytes(all.group, found.bits);
    return found;
}

// The minimum and the maximum of a group; both NaN if a value is not finite. In all lanes.
struct Extremes {
    float low, high;
};
template <class T> __device__ Extremes extremes_of(const T* values, Index len) {
    float low = float_of(0x7f800000), high = float_of(0xff800000), odd = 0;
    for (Index i : each_in_warp(len)) {
        float x = wide(values[i]);
        low = x < low ? x : low;
        high = x > high ? x : high;
        if (!(fabsf(x) <= FLT_MAX)) odd = 1;
    }
    odd = join_warp(odd, Greatest());
    // The first lane's, which tells zeros apart as the CPU does.
    low = __shfl_sync(ALL, join_warp(low, Least()), 0);
    high = __shfl_sync(ALL, join_warp(high, Greatest()), 0);
    float nan = float_of(0x7fc00000);
    return odd == 0 ? Extremes{low, high} : Extremes{nan, nan};
}

__device__ inline float quantise_levels(uint32_t bits) { return float((1u << bits) - 1); }

__device__ inline float bf16_below(float value) {
    float cut = float_of(bits_of(value) & 0xffff0000);
    return cut > value ? float_of(bits_of(cut) + 0x10000) : cut;
}

// The codes of a group have the values `min + code * scale`.
struct Affine {
    float min, scale;
};
// From `low` to at least `high`, both numbers in bf16.
__device__ inline Affine affine_covering(float low, float high, uint32_t bits) {
    float min = bf16_below(low);
    float scale = -bf16_below(-((high - min) / quantise_levels(bits)));
    float nan = float_of(0x7fc00000);
    return fabsf(min) <= FLT_MAX && fabsf(scale) <= FLT_MAX ? Affine{min, scale} : Affine{nan, nan};
}

// Where the noise of each group begins within that of its piece: a thread for each piece.
__device__ void quantise_noise(int64_t* starts, Index row, Index group, Index groups,
                               Index per_piece) {
    Grouped all{row, group, groups, 0, 0, nullptr, nullptr};
    for (Index piece : each_element((groups + per_piece - 1) / per_piece)) {
        Index at = 0, end = (piece + 1) * per_piece < groups ? (piece + 1) * per_piece : groups;
        for (Index number = piece * per_piece; number < end; number++) {
            starts[number] = at;
            Index len = all.len(number);
            unsigned rest = unsigned(len % RUN);
            at = noise_after(at, len / RUN);
            if (rest > 0) at = noise_start(at, rest) + rest;
        }
    }
}
KERNEL(quantise_noise)

// The codes of a group; without `noise`, to the nearest. By the lanes of a warp.
template <class T>
__device__ void quantise_group(const T* values, const Group& group, Affine range, uint8_t* target,
                               const int64_t* noise, NoiseKey key, Index piece) {
    __shared__ uint8_t codes_of[WARPS][RUN];
    __shared__ uint32_t numbers_of[WARPS][NOISE_NUMBERS];
    uint8_t* codes = codes_of[threadIdx.x / 32];
    uint32_t* numbers = numbers_of[threadIdx.x / 32];
    // Added to a small number, it leaves the nearest integer in the lowest bits.
    const float INTEGER = 12582912.0f; // 1.5 * 2^23
    float levels = quantise_levels(group.bits);
    for (Index run = 0; run * RUN < group.len; run++) {
        Index start = run * RUN;
        unsigned count = unsigned(group.len - start < RUN ? group.len - start : RUN);
        Index at = 0;
        if (noise) {
            at = noise_start(noise_after(*noise, run), count);
            noise_draw(numbers, key, piece, at, count);
        }
        __syncwarp();
        for (Index i : each_in_warp(RUN)) {
            uint8_t code = 0;
            if (i < count) {
                float place = (wide(values[start + i]) - range.min) / range.scale;
                place = place > 0 ? place : 0;
                place = place < levels ? place : levels;
                float offset = noise ? noise_offset(numbers, at, unsigned(i)) : 0;
                code = uint8_t(bits_of(place + offset + INTEGER));
            }
            codes[i] = code;
        }
        __syncwarp();
        pack_run(codes, count, group.bits, target);
        target += run_bytes(count, group.bits);
        __syncwarp();
    }
}

// Codes, and the ranges (minimum, scale) of the groups.
template <class T>
__device__ void quantise_pack(const T* input, uint8_t* codes, bf16* ranges, const int64_t* noise,
                              uint64_t key, uint64_t step, Index per_piece, Index row, Index group,
                              Index groups, uint32_t bits, Index row_bytes, const uint8_t* row_bits,
                              const int64_t* starts) {
    Grouped all{row, group, groups, bits, row_bytes, row_bits, starts};
    for (Index number : each_of_warp(groups)) {
        Group own = group_of(all, number);
        Extremes found = extremes_of(input + own.element, own.len);
        Affine range = affine_covering(found.low, found.high, own.bits);
        if (threadIdx.x % 32 == 0) {
            ranges[2 * number] = bf16{uint16_t(bits_of(range.min) >> 16)};
            ranges[2 * number + 1] = bf16{uint16_t(bits_of(range.scale) >> 16)};
        }
        quantise_group(input + own.element, own, range, codes + own.byte,
                       noise ? noise + number : nullptr, NoiseKey{key, step}, number / per_piece);
    }
}
KERNELS(quantise_pack)

// Codes within ranges that are given for the groups of a row.
template <class T>
__device__ void quantise_pack_within(const T* input, const float* ranges, uint8_t* codes,
                                     const int64_t* noise, uint64_t key, uint64_t step,
                                     Index per_piece, Index row, Index group, Index groups,
                                     uint32_t bits, Index row_bytes, const uint8_t* row_bits,
                                     const int64_t* starts) {
    Grouped all{row, group, groups, bits, row_bytes, row_bits, starts};
    for (Index number : each_of_warp(groups)) {
        Group own = group_of(all, number);
        const float* range = ranges + 2 * (number % all.per_row());
        quantise_group(input + own.element, own, Affine{range[0], range[1]}, codes + own.byte,
                       noise ? noise + number : nullptr, NoiseKey{key, step}, number / per_piece);
    }
}
KERNELS(quantise_pack_within)

// The values of the codes; `shared` ranges are those of the groups of a row.
template <class T>
__device__ void quantise_unpack(const uint8_t* codes, const float* ranges, T* output,
                                uint32_t shared, Index row, Index group, Index groups,
                                uint32_t bits, Index row_bytes, const uint8_t* row_bits,
                                const int64_t* starts) {
    Grouped all{row, group, groups, bits, row_bytes, row_bits, starts};
    for (Index number : each_of_warp(groups)) {
        Group own = group_of(all, number);
        const float* range = ranges + 2 * (shared ? number % all.per_row() : number);
        float min = range[0], scale = range[1];
        const uint8_t* packed = codes + own.byte;
        for (Index start = 0; start < own.len; start += RUN) {
            unsigned count = unsigned(own.len - start < RUN ? own.len - start : RUN);
            for (Index i : each_in_warp(count)) {
                float code = float(unpack_code(packed, unsigned(i), count, own.bits));
                output[own.element + start + i] = narrow<T>(code * scale + min);
            }
            packed += run_bytes(count, own.bits);
        }
    }
}
KERNELS(quantise_unpack)

// The minimum and the maximum of each group; NaN where a value is not finite.
template <class T>
__device__ void quantise_extremes(const T* input, float* extremes, Index row, Index group,
                                  Index groups) {
    Grouped all{row, group, groups, 1, 0, nullptr, nullptr};
    for (Index number : each_of_warp(groups)) {
        Group own = group_of(all, number);
        Extremes found = extremes_of(input + own.element, own.len);
        if (threadIdx.x % 32 == 0) {
            extremes[2 * number] = found.low;
            extremes[2 * number + 1] = found.high;
        }
    }
}
KERNELS(quantise_extremes)
