// Kernels of the gates' own tests: each of the first part has a fault that a gate must find, those of
// the second are right and use what the shim has to offer. They are not compiled for the device.

// Reverses each 256 elements through shared memory, and does not wait for them.
__device__ void fault_barrier(const float* input, float* output) {
    __shared__ float part[THREADS];
    Index start = Index(blockIdx.x) * THREADS;
    part[threadIdx.x] = input[start + threadIdx.x];
    output[start + threadIdx.x] = part[THREADS - 1 - threadIdx.x];
}
KERNEL(fault_barrier)

// Two block-wide maxima with one buffer, which the second overwrites while some still read the first.
__device__ void fault_barrier_between(const float* input, float* output) {
    __shared__ float of_warps[WARPS];
    float found[2] = {input[threadIdx.x], -input[threadIdx.x]};
    for (float& value : found) {
        value = join_warp(value, Greatest());
        if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
        __syncthreads();
        for (float other : of_warps) value = other > value ? other : value;
    }
    output[threadIdx.x] = found[0] + 1000 * found[1];
}
KERNEL(fault_barrier_between)

// Writes one element too many.
__device__ void fault_write(float* output, Index n) {
    for (Index i : each_element(n + 1)) output[i] = 1;
}
KERNEL(fault_write)

// Reads one byte too many.
__device__ void fault_read(const uint8_t* input, uint8_t* output, Index n) {
    for (Index i : each_element(n)) output[i] = input[i + 1];
}
KERNEL(fault_read)

// Takes one element too many of dynamic shared memory.
__device__ void fault_shared(float* output) {
    DYNAMIC_SHARED(float, part);
    if (threadIdx.x < 9) part[threadIdx.x] = 1;
    __syncthreads();
    output[threadIdx.x] = part[0];
}
KERNEL(fault_shared)

// Leaves every third element as it was.
__device__ void fault_unwritten(float* output, Index n) {
    for (Index i : each_element(n))
        if (i % 3 != 2) output[i] = 1;
}
KERNEL(fault_unwritten)

// Shifts by as many bits as there are.
__device__ void fault_shift(uint32_t* output, Index n) {
    for (Index i : each_element(n)) output[i] = 1u << (i + 1);
}
KERNEL(fault_shift)

// Depends on how many blocks there are.
__device__ void fault_grid(float* output, Index n) {
    for (Index i : each_element(n)) output[i] = float(gridDim.x);
}
KERNEL(fault_grid)

// Only some threads come to the barrier.
__device__ void fault_diverged(float* output) {
    if (threadIdx.x < 40) __syncthreads();
    output[threadIdx.x] = 1;
}
KERNEL(fault_diverged)

// Waits for lanes that went another way.
__device__ void fault_lanes(uint32_t* output) {
    output[threadIdx.x] = threadIdx.x % 32 < 16 ? __ballot_sync(ALL, true) : 0;
}
KERNEL(fault_lanes)

// Reads from a lane that takes no part.
__device__ void fault_lane(uint32_t* output) {
    output[threadIdx.x] = threadIdx.x % 32 < 16 ? __shfl_sync(0xffff, threadIdx.x, 20) : 0;
}
KERNEL(fault_lane)

// Keeps more numbers at a time than there are registers.
__device__ void fault_spills(const float* input, float* output, Index n) {
    constexpr int COUNT = 400;
    float kept[COUNT];
#pragma unroll
    for (int k = 0; k < COUNT; k++) kept[k] = input[k * n + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < COUNT; k++) output[k * n + threadIdx.x] = kept[k] * kept[(k * 7 + 3) % COUNT];
}
KERNEL(fault_spills)

// The sum of the indices that each thread of the grid takes of 0..n; no memory is as large as n.
__device__ void sound_indices(int64_t* sums, Index n) {
    Index sum = 0;
    for (Index i : each_element(n)) sum += i;
    sums[threadIdx.x] = sum;
}
KERNEL(sound_indices)

// The halves of each warp go different ways, and each adds up its own lanes.
__device__ void sound_halves(uint32_t* output) {
    uint32_t sum = threadIdx.x;
    if (threadIdx.x % 32 < 16) {
        for (int distance = 8; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(0x0000ffff, sum, distance);
    } else {
        for (int distance = 8; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(0xffff0000, sum, distance);
    }
    output[threadIdx.x] = sum;
}
KERNEL(sound_halves)

// Block-wide sums, votes, counters, and a reversal through dynamic shared memory.
__device__ void sound_block(const float* input, float* output, uint32_t* positive) {
    DYNAMIC_SHARED(float, part);
    for (Index row : each_of_block(5)) {
        float value = input[row * THREADS + threadIdx.x];
        double sum = join_block(double(value), Sum());
        float least = join_block(value, Least()), greatest = join_block(value, Greatest());
        part[threadIdx.x] = value;
        if (threadIdx.x == 0) positive[row] = 0;
        __syncthreads();
        unsigned votes = __ballot_sync(ALL, value > 0);
        if (threadIdx.x % 32 == 0) atomicAdd(&positive[row], uint32_t(__popc(votes)));
        output[row * THREADS + threadIdx.x] =
            part[THREADS - 1 - threadIdx.x] + float(sum) + least + greatest;
        __syncthreads();
    }
}
KERNEL(sound_block)

// The numbers of the random generator.
__device__ void sound_philox(uint32_t* output, uint64_t key, uint64_t step, uint64_t first, Index n) {
    for (Index i : each_element(n)) {
        Numbers numbers = philox(key, step, first + uint64_t(i));
        for (int k = 0; k < 4; k++) output[4 * i + k] = numbers.of[k];
    }
}
KERNEL(sound_philox)

// f32 to bf16 and back.
__device__ void sound_bf16(const float* input, bf16* halves, float* wide_again, Index n) {
    for (Index i : each_element(n)) {
        halves[i] = narrow<bf16>(input[i]);
        wide_again[i] = wide(halves[i]);
    }
}
KERNEL(sound_bf16)
