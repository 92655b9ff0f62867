// Codes of 1 to 8 bits, packed without gaps; `bit_pack.rs` describes the planes.
#pragma once

// Codes packed at a time.
constexpr unsigned RUN = 256;

__device__ inline unsigned plane_bytes(unsigned count, unsigned plane) {
    return (count * plane + 7) / 8;
}

// Bytes that up to a run of codes take.
__device__ inline unsigned run_bytes(unsigned count, unsigned bits) {
    unsigned bytes = 0;
    for (unsigned plane = 8; plane > 0; plane /= 2)
        if (bits & plane) bytes += plane_bytes(count, plane);
    return bytes;
}

// Bytes that `count` codes take, in runs.
__device__ inline Index packed_bytes(Index count, unsigned bits) {
    return count / RUN * run_bytes(RUN, bits) + run_bytes(unsigned(count % RUN), bits);
}

// Packs the first `count` codes of a run, of which the others are 0; by the lanes of a warp.
__device__ inline void pack_run(const uint8_t* codes, unsigned count, unsigned bits,
                                uint8_t* target) {
    unsigned below = 0;
    for (unsigned plane = 8; plane > 0; plane /= 2) {
        if (!(bits & plane)) continue;
        unsigned bytes = plane_bytes(count, plane), mask = (1u << plane) - 1;
        for (Index i : each_in_warp(bytes)) {
            unsigned byte = 0;
            for (unsigned part = 0; part < 8 / plane; part++)
                byte |= (codes[part * bytes + i] >> below & mask) << (part * plane);
            target[i] = uint8_t(byte);
        }
        target += bytes;
        below += plane;
    }
}

// The code at a place of a run of `count`.
__device__ inline unsigned unpack_code(const uint8_t* packed, unsigned at, unsigned count,
                                       unsigned bits) {
    unsigned code = 0, below = 0;
    for (unsigned plane = 8; plane > 0; plane /= 2) {
        if (!(bits & plane)) continue;
        unsigned bytes = plane_bytes(count, plane), mask = (1u << plane) - 1;
        code |= (packed[at % bytes] >> (at / bytes * plane) & mask) << below;
        packed += bytes;
        below += plane;
    }
    return code;
}
