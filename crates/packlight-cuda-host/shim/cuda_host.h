// CUDA's execution model on one thread of the CPU, for tests: the threads of a block are fibers, and a
// barrier or a warp primitive is a switch to another one. Blocks run one after another. What a device
// would leave undefined or wait for forever ends the program with a message: threads at different
// barriers, lanes that a mask names and that never come, values of lanes that take no part.
//
// Races and the cost of anything are not seen here.
#pragma once
#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <math.h>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace cuda_host {

constexpr unsigned LANES = 32;
constexpr size_t STACK = 128 << 10;

// Which thread goes on where several can: warps and lanes in their order, each as far as it gets;
// the same backwards; at random, and in step.
enum class Order : uint64_t { Forward, Backward, Shuffled };

struct Place {
    const char* file;
    int line;
    bool operator==(const Place& other) const {
        return line == other.line && strcmp(file, other.file) == 0;
    }
};

enum class Wait { Nothing, Barrier, Lanes, Ended };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Wait wait;
    Place place;              // where it waits
    unsigned mask;            // the lanes that it waits for
    uint64_t mine;            // the value that it shows them
    uint64_t theirs[LANES];   // the values that they showed
};

[[noreturn]] inline void fail(const std::string& message) {
    fflush(stdout);
    fprintf(stderr, "cuda_host: %s\n", message.c_str());
    exit(3);
}

// The block that runs, its fibers, and who runs them.
struct Block {
    std::vector<Fiber> fibers;
    std::function<void()> kernel;
    ucontext_t scheduler;
    unsigned now = 0;
    std::vector<char> dynamic;
    Order order = Order::Forward;
    std::mt19937 random{7};

    void run(uint3 at);
    void go_on(unsigned thread);
    bool go_on_with_warp(unsigned warp);
    bool release_warp(unsigned warp);
    bool release_barrier();
    std::vector<unsigned> ordered(unsigned count);
    [[noreturn]] void stuck();
};
inline Block block;

inline void wait_for(Wait wait, Place place) {
    Fiber& me = block.fibers[block.now];
    me.wait = wait;
    me.place = place;
    swapcontext(&me.context, &block.scheduler);
}

// A fiber's life: one run of the kernel for each block.
inline void live() {
    for (;;) {
        block.kernel();
        wait_for(Wait::Ended, {"", 0});
    }
}

inline std::string where(const Place& place) {
    const char* name = strrchr(place.file, '/');
    return std::string(name ? name + 1 : place.file) + ":" + std::to_string(place.line);
}

inline std::vector<unsigned> Block::ordered(unsigned count) {
    std::vector<unsigned> numbers(count);
    for (unsigned i = 0; i < count; i++) numbers[i] = order == Order::Backward ? count - 1 - i : i;
    if (order == Order::Shuffled) std::shuffle(numbers.begin(), numbers.end(), random);
    return numbers;
}

inline void Block::go_on(unsigned thread) {
    now = thread;
    threadIdx = {thread, 0, 0};
    swapcontext(&scheduler, &fibers[thread].context);
}

// Runs the lanes of a warp that can; whether there was one.
inline bool Block::go_on_with_warp(unsigned warp) {
    bool some = false;
    for (unsigned lane : ordered(LANES)) {
        unsigned thread = warp * LANES + lane;
        if (fibers[thread].wait != Wait::Nothing) continue;
        go_on(thread);
        some = true;
    }
    return some;
}

// Lets those lanes of a warp go on whose mask is all there.
inline bool Block::release_warp(unsigned warp) {
    bool some = false;
    Fiber* lanes = &fibers[warp * LANES];
    for (unsigned lane = 0; lane < LANES; lane++) {
        Fiber& first = lanes[lane];
        if (first.wait != Wait::Lanes) continue;
        bool all = true;
        for (unsigned other = 0; other < LANES; other++)
            if (first.mask >> other & 1)
                all &= lanes[other].wait == Wait::Lanes && lanes[other].place == first.place &&
                       lanes[other].mask == first.mask;
        if (!all) continue;
        unsigned mask = first.mask;
        for (unsigned to = 0; to < LANES; to++) {
            if (!(mask >> to & 1)) continue;
            for (unsigned from = 0; from < LANES; from++) lanes[to].theirs[from] = lanes[from].mine;
        }
        for (unsigned to = 0; to < LANES; to++)
            if (mask >> to & 1) lanes[to].wait = Wait::Nothing;
        some = true;
    }
    return some;
}

// Lets the block go on if all of its threads are at one barrier.
inline bool Block::release_barrier() {
    for (Fiber& fiber : fibers)
        if (fiber.wait != Wait::Barrier || !(fiber.place == fibers[0].place)) return false;
    for (Fiber& fiber : fibers) fiber.wait = Wait::Nothing;
    return true;
}

inline void Block::stuck() {
    std::map<std::string, std::vector<unsigned>> groups;
    for (unsigned thread = 0; thread < fibers.size(); thread++) {
        Fiber& fiber = fibers[thread];
        std::string what = "have ended";
        if (fiber.wait == Wait::Barrier) what = "wait at the barrier of " + where(fiber.place);
        if (fiber.wait == Wait::Lanes) {
            char mask[16];
            snprintf(mask, sizeof mask, "%08x", fiber.mask);
            what = "wait for the lanes " + std::string(mask) + " at " + where(fiber.place);
        }
        groups[what].push_back(thread);
    }
    std::string message = "block " + std::to_string(blockIdx.x) + " cannot go on";
    for (auto& [what, threads] : groups)
        message += "; " + std::to_string(threads.size()) + " threads (the first is " +
                   std::to_string(threads[0]) + ") " + what;
    fail(message);
}

inline void Block::run(uint3 at) {
    blockIdx = at;
    std::fill(dynamic.begin(), dynamic.end(), char(0xcd));
    for (Fiber& fiber : fibers) fiber.wait = Wait::Nothing;
    unsigned warps = fibers.size() / LANES;
    for (;;) {
        bool some = false;
        for (unsigned warp : ordered(warps))
            do {
                bool ran = go_on_with_warp(warp);
                some |= ran | release_warp(warp);
                if (!ran) break;
            } while (order != Order::Shuffled);
        if (some) continue;
        bool ended = true;
        for (Fiber& fiber : fibers) ended &= fiber.wait == Wait::Ended;
        if (ended) return;
        if (!release_barrier()) stuck();
    }
}

// Runs the kernel on these blocks of a grid, in the order's order.
inline void launch(unsigned first, unsigned blocks, unsigned grid, unsigned threads,
                   unsigned shared, Order order, std::function<void()> kernel) {
    if (threads == 0 || threads % LANES != 0) fail("a block is made of whole warps");
    gridDim = {grid, 1, 1};
    blockDim = {threads, 1, 1};
    block.kernel = std::move(kernel);
    block.order = order;
    std::vector<char>(shared).swap(block.dynamic);
    block.fibers = std::vector<Fiber>(threads);
    for (Fiber& fiber : block.fibers) {
        fiber.stack.reset(new char[STACK]); // not touched, so that it takes no memory before it is used
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, live, 0);
    }
    for (unsigned number : block.ordered(blocks)) block.run({first + number, 0, 0});
}

// Shows `value` to the lanes of `mask` and waits for theirs.
template <class T> const uint64_t* exchange(unsigned mask, T value, Place place) {
    static_assert(sizeof(T) <= 8, "a shuffle carries up to eight bytes");
    Fiber& me = block.fibers[block.now];
    if (!(mask >> block.now % LANES & 1)) fail("a lane is not in its own mask at " + where(place));
    me.mask = mask;
    me.mine = 0;
    memcpy(&me.mine, &value, sizeof value);
    wait_for(Wait::Lanes, place);
    return me.theirs;
}

template <class T> T of_lane(unsigned mask, T value, unsigned lane, Place place) {
    const uint64_t* theirs = exchange(mask, value, place);
    if (!(mask >> lane & 1))
        fail("a lane reads from lane " + std::to_string(lane) + ", which takes no part, at " +
             where(place));
    memcpy(&value, &theirs[lane], sizeof value);
    return value;
}

// ------------------------------------------------------------------------ the table of the kernels

// A letter for the type of a parameter, and for a pointer the size of its elements.
template <class T> std::string kind() {
    if constexpr (std::is_pointer_v<T>) {
        using Element = std::remove_pointer_t<T>;
        return (std::is_const_v<Element> ? "in" : "out") + std::to_string(8 * sizeof(Element));
    }
    if constexpr (std::is_same_v<T, int64_t>) return "size";
    if constexpr (std::is_same_v<T, uint32_t>) return "u32";
    if constexpr (std::is_same_v<T, uint64_t>) return "u64";
    if constexpr (std::is_same_v<T, float>) return "f32";
    if constexpr (std::is_same_v<T, double>) return "f64";
    return "unknown";
}

struct Entry {
    std::string parameters;
    std::function<void(const void*)> call;
};
inline std::map<std::string, Entry>& entries() {
    static std::map<std::string, Entry> entries;
    return entries;
}

struct Register {
    template <template <class> class Arguments, class... A>
    Register(const char* name, void (*kernel)(Arguments<void(A...)>)) {
        std::string parameters;
        ((parameters += (parameters.empty() ? "" : " ") + kind<A>()), ...);
        entries()[name] = {parameters, [kernel](const void* slots) {
                               Arguments<void(A...)> arguments;
                               memcpy(&arguments, slots, sizeof arguments);
                               kernel(arguments);
                           }};
    }
};

} // namespace cuda_host

#define REGISTER(entry) static cuda_host::Register registered_##entry(#entry, entry);
// Dynamic shared memory, of the size that the launch asked for.
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(cuda_host::block.dynamic.data())

// --------------------------------------------------------------------- what CUDA gives its kernels

#define HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(HERE) { cuda_host::wait_for(cuda_host::Wait::Barrier, {file, line}); }
inline void __syncwarp(unsigned mask = 0xffffffff, HERE) {
    cuda_host::exchange(mask, 0, {file, line});
}
template <class T> T __shfl_sync(unsigned mask, T value, unsigned lane, HERE) {
    return cuda_host::of_lane(mask, value, lane % 32, {file, line});
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, unsigned bits, HERE) {
    return cuda_host::of_lane(mask, value, (threadIdx.x % 32) ^ bits, {file, line});
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, HERE) {
    unsigned lane = threadIdx.x % 32;
    return cuda_host::of_lane(mask, value, lane + by < 32 ? lane + by : lane, {file, line});
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, HERE) {
    unsigned lane = threadIdx.x % 32;
    return cuda_host::of_lane(mask, value, lane >= by ? lane - by : lane, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, bool vote, HERE) {
    const uint64_t* votes = cuda_host::exchange(mask, vote, {file, line});
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) bits |= unsigned(votes[lane] & 1) << lane;
    return bits;
}
inline bool __any_sync(unsigned mask, bool vote, HERE) {
    return __ballot_sync(mask, vote, file, line) != 0;
}
inline bool __all_sync(unsigned mask, bool vote, HERE) {
    return __ballot_sync(mask, vote, file, line) == mask;
}
#undef HERE

template <class T> T atomicAdd(T* at, T value) {
    static_assert(std::is_integral_v<T>, "sums of floats would depend on the order of threads");
    T old = *at;
    *at += value;
    return old;
}
template <class T> T atomicMax(T* at, T value) {
    T old = *at;
    *at = std::max(old, value);
    return old;
}
template <class T> T atomicMin(T* at, T value) {
    T old = *at;
    *at = std::min(old, value);
    return old;
}
template <class T> T atomicOr(T* at, T value) {
    T old = *at;
    *at |= value;
    return old;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
