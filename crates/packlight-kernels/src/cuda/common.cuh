// What the kernels share: types, loops over the grid, reductions in a fixed order, random numbers.
//
// Kernels are plain CUDA C++17 that a host compiler can read as well: no inline assembly, no atomics
// on floats, explicit masks of lanes. No thread leaves a kernel before its last barrier.
#pragma once
#include <cfloat>
#include <cstdint>

// Indices and sizes: tensors may have more elements than 32 bits count.
using Index = int64_t;

// Threads of a block, in all launches (`launch.rs`).
constexpr unsigned THREADS = 256;
constexpr unsigned WARPS = THREADS / 32;
// All lanes of a warp.
constexpr unsigned ALL = 0xffffffff;

// ---------------------------------------------------------------------------------------- types

using f32 = float;
struct bf16 {
    uint16_t bits;
};

__device__ inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
__device__ inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

// An element as f32, in which kernels compute.
__device__ inline float wide(float x) { return x; }
__device__ inline float wide(bf16 x) { return float_of(uint32_t(x.bits) << 16); }

// Rounds to the element type, to the nearest, ties to even.
template <class T> __device__ T narrow(float x);
template <> __device__ inline float narrow<float>(float x) { return x; }
template <> __device__ inline bf16 narrow<bf16>(float x) {
    uint32_t bits = bits_of(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return bf16{uint16_t(bits >> 16 | 0x40)}; // NaN
    return bf16{uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// ---------------------------------------------------------------------------------- entry points

// The arguments of a kernel, each in a slot of eight bytes: how the launcher passes them.
template <class F> struct Arguments;
template <> struct Arguments<void()> {
    template <class F, class... A> __device__ void pass_to(F kernel, A... before) const {
        kernel(before...);
    }
};
template <class First, class... Rest> struct Arguments<void(First, Rest...)> {
    static_assert(sizeof(First) <= 8, "an argument is a pointer or a number");
    alignas(8) First first;
    Arguments<void(Rest...)> rest;
    template <class F, class... A> __device__ void pass_to(F kernel, A... before) const {
        rest.pass_to(kernel, before..., first);
    }
};
template <class First> struct Arguments<void(First)> {
    static_assert(sizeof(First) <= 8, "an argument is a pointer or a number");
    alignas(8) First first;
    template <class F, class... A> __device__ void pass_to(F kernel, A... before) const {
        kernel(before..., first);
    }
};

#ifndef REGISTER // the host shim keeps a table of the entry points
#define REGISTER(entry)
#endif
#ifndef DYNAMIC_SHARED // shared memory of the size that the launch asks for; each name has one type
#define DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#endif

#define ENTRY(entry, kernel)                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        entry(const Arguments<decltype(kernel)> arguments) {                                       \
        arguments.pass_to([](auto... each) { (kernel)(each...); });                                \
    }                                                                                              \
    REGISTER(entry)
// `KERNEL(name)` makes the function `name` the entry point `name_kernel`; `KERNELS(name)` the template `name<T>` two,
// `name_f32` and `name_bf16`.
#define KERNEL(name) ENTRY(name##_kernel, name)
#define KERNELS(name)                                                                              \
    ENTRY(name##_f32, name<f32>)                                                                   \
    ENTRY(name##_bf16, name<bf16>)

// ----------------------------------------------------------------------------------------- loops

// `for (Index i : Strided{first, end, step})`.
struct Strided {
    Index first, bound, step;
    struct At {
        Index at, step;
        __device__ Index operator*() const { return at; }
        __device__ void operator++() { at += step; }
        __device__ bool operator!=(At end) const { return at < end.at; }
    };
    __device__ At begin() const { return {first, step}; }
    __device__ At end() const { return {bound, step}; }
};

// The elements of 0..n that are this thread's, one of the grid's threads (`Launch::elements`).
__device__ inline Strided each_element(Index n) {
    return {Index(blockIdx.x) * THREADS + threadIdx.x, n, Index(gridDim.x) * THREADS};
}
// The same in whole warps: all 32 lanes take part in the last turn, some of them beyond n.
__device__ inline Strided each_in_whole_warps(Index n) { return each_element((n + 31) / 32 * 32); }
// The rows of 0..n that are this warp's (`Launch::warps`).
__device__ inline Strided each_of_warp(Index n) {
    return {(Index(blockIdx.x) * THREADS + threadIdx.x) / 32, n, Index(gridDim.x) * WARPS};
}
// The rows of 0..n that are this block's (`Launch::blocks`).
__device__ inline Strided each_of_block(Index n) { return {blockIdx.x, n, gridDim.x}; }
// The elements of 0..n that are this thread's, one of its block's threads.
__device__ inline Strided each_in_block(Index n) { return {threadIdx.x, n, THREADS}; }
// The elements of 0..n that are this thread's, one of its warp's lanes.
__device__ inline Strided each_in_warp(Index n) { return {threadIdx.x % 32, n, 32}; }

// Quotient and rest of numbers that are not negative; much faster where they fit 32 bits.
struct Divided {
    Index quotient, rest;
};
__device__ inline Divided divide(Index number, Index by) {
    if (uint64_t(number | by) >> 32 == 0) {
        uint32_t quotient = uint32_t(number) / uint32_t(by);
        return {quotient, uint32_t(number) - quotient * uint32_t(by)};
    }
    return {number / by, number % by};
}

// ------------------------------------------------------------------------------------ reductions

// What `join` makes of the values of a warp's lanes, in all of them. `join` is commutative, so that
// all lanes get the same bits.
template <class T, class Join> __device__ T join_warp(T value, Join join) {
    for (int distance = 16; distance > 0; distance /= 2)
        value = join(value, __shfl_xor_sync(ALL, value, distance));
    return value;
}

// What `join` makes of the values of a block's threads, in all of them; all of them must come here.
template <class T, class Join> __device__ T join_block(T value, Join join) {
    __shared__ T of_warps[WARPS];
    value = join_warp(value, join);
    __syncthreads(); // everyone has read what the last call left
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warps[0];
    for (unsigned warp = 1; warp < WARPS; warp++) value = join(value, of_warps[warp]);
    return value;
}

struct Sum {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};
struct Least {
    template <class T> __device__ T operator()(T a, T b) const { return b < a ? b : a; }
};
struct Greatest {
    template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; }
};

// --------------------------------------------------------------------------------- random numbers

// The four numbers of a block of the stream with this key: Philox4x32-10, as in `rng.rs`.
struct Numbers {
    uint32_t of[4];
};
__device__ inline Numbers philox(uint64_t key, uint64_t step, uint64_t block) {
    uint32_t a = uint32_t(block), b = uint32_t(block >> 32);
    uint32_t c = uint32_t(step), d = uint32_t(step >> 32);
    uint32_t low = uint32_t(key), high = uint32_t(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t first = uint64_t(a) * 0xd2511f53, second = uint64_t(c) * 0xcd9e8d57;
        a = uint32_t(second >> 32) ^ b ^ low;
        b = uint32_t(second);
        c = uint32_t(first >> 32) ^ d ^ high;
        d = uint32_t(first);
        low += 0x9e3779b9;
        high += 0xbb67ae85;
    }
    return {{a, b, c, d}};
}
