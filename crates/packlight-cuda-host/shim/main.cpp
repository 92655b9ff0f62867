// Runs one kernel: the call comes on standard input, what the kernel wrote goes to standard output
// (`src/lib.rs` has the other side).
#include "cuda_host.h"

#include "kernels.cu"

#include "faults.cu"

namespace {

std::vector<char> all_input() {
    std::vector<char> all, part(1 << 16);
    while (size_t got = fread(part.data(), 1, part.size(), stdin))
        all.insert(all.end(), part.begin(), part.begin() + long(got));
    return all;
}

struct Reader {
    std::vector<char> bytes;
    size_t at = 0;
    const char* take(size_t count) {
        if (count > bytes.size() - at) cuda_host::fail("the call is cut off");
        at += count;
        return bytes.data() + at - count;
    }
    uint64_t number() {
        uint64_t number;
        memcpy(&number, take(8), 8);
        return number;
    }
    std::string text() {
        size_t count = number();
        return std::string(take(count), count);
    }
};

// A tensor of exactly its size, so that the sanitizers see a step past either end.
struct Buffer {
    char* data;
    size_t size;
    bool comes_back;
};

} // namespace

int main() {
    Reader call{all_input()};
    std::string name = call.text(), parameters = call.text();
    auto found = cuda_host::entries().find(name);
    if (found == cuda_host::entries().end()) cuda_host::fail("there is no kernel `" + name + "`");
    if (found->second.parameters != parameters)
        cuda_host::fail(name + " takes (" + found->second.parameters + "), not (" + parameters + ")");
    unsigned first = call.number(), blocks = call.number(), grid = call.number();
    unsigned threads = call.number(), shared = call.number();
    auto order = cuda_host::Order(call.number());
    std::vector<uint64_t> slots(call.number() + 1);
    std::vector<Buffer> buffers;
    for (size_t i = 0; i + 1 < slots.size(); i++) {
        std::string kind = call.text();
        if (kind == "number") {
            slots[i] = call.number();
            continue;
        }
        size_t size = call.number();
        char* data = static_cast<char*>(malloc(size));
        // What is not written differs from one order to the next.
        if (kind == "new") memset(data, 0x5a + int(order), size);
        else memcpy(data, call.take(size), size);
        buffers.push_back({data, size, kind != "in"});
        slots[i] = reinterpret_cast<uint64_t>(data);
    }
    const void* arguments = slots.data();
    cuda_host::launch(first, blocks, grid, threads, shared, order,
                      [&] { found->second.call(arguments); });
    for (const Buffer& buffer : buffers) {
        if (buffer.comes_back) fwrite(buffer.data, 1, buffer.size, stdout);
        free(buffer.data);
    }
    return 0;
}
