// Spatial entropy of whole planes on the CPU, as a plain C library: see engine.py and ../definition.py.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "problem.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define SPATIAL_ENTROPY_X86 1
#endif

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")
#define EXPORT extern "C" __attribute__((visibility("default")))
#else
#define INLINE inline
#define INLINE_LAMBDA
#define NOINLINE
#define UNROLL
#define EXPORT extern "C" __declspec(dllexport)
#endif

// The kernels once per instruction set; a processor without the better ones never reaches them.
#if defined(SPATIAL_ENTROPY_X86) && defined(__GNUC__)
#define SPATIAL_ENTROPY_WIDE 1
#endif

namespace spatial_entropy {

#ifdef SPATIAL_ENTROPY_WIDE
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma")
#endif
namespace avx512 {
#include "vector_avx512.h"
#include "engine.h"
}  // namespace avx512
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#include "vector_avx2.h"
#include "engine.h"
}  // namespace avx2
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace portable {
#include "vector_portable.h"
#include "engine.h"
}  // namespace portable

namespace {

// Subnormal numbers are slow and far below what counts; off while a thread works.
class FlushSubnormals {
#ifdef SPATIAL_ENTROPY_X86
public:
    FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~FlushSubnormals() { _mm_setcsr(before_); }
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

private:
    unsigned before_;
#endif
};

struct Kernels {
    std::size_t (*workspace_size)(const Problem&);
    void (*run_strip)(const Problem&, const Plane&, std::int64_t, Strip&, char*);
};

// Instruction sets, best last. 0: whatever the processor has.
enum InstructionSet { kBest = 0, kPortable = 1, kAvx2 = 2, kAvx512 = 3 };

bool supported(int set) {
#ifdef SPATIAL_ENTROPY_WIDE
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (set == kAvx2) return avx2;
    if (set == kAvx512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#endif
    return set == kPortable;
}

Kernels kernels(int set) {
#ifdef SPATIAL_ENTROPY_WIDE
    if (set == kAvx512) return {avx512::workspace_size, avx512::run_strip};
    if (set == kAvx2) return {avx2::workspace_size, avx2::run_strip};
#endif
    return {portable::workspace_size, portable::run_strip};
}

struct AlignedDelete {
    void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};
using Memory = std::unique_ptr<char, AlignedDelete>;

Memory allocate(std::size_t size) { return Memory(static_cast<char*>(::operator new(size, std::align_val_t{64}))); }

// The rows of tiles of all planes, shared out to threads one by one. Each has buffers of its own, which are added in
// a fixed order afterwards: the result does not depend on the number of threads.
class Run {
public:
    Run(const Problem& problem, const Plane& planes, std::int64_t count, const Kernels& kernels)
        : problem_(problem), planes_(planes), kernels_(kernels), rows_((problem.height + kTile - 1) / kTile),
          strips_(static_cast<std::size_t>(count * rows_)) {
        if (problem.need_gradient) gradients_ = allocate(strips_.size() * 2 * strip_size() * sizeof(float));
    }

    void compute(int threads) {
        std::atomic<std::size_t> next{0};
        in_threads(threads, strips_.size(), [&](char* memory) {
            for (std::size_t k; (k = next++) < strips_.size();) compute_strip(k, memory);
        });
    }

    double distance(std::int64_t plane) const {
        double total = 0.0;
        for (std::int64_t row = 0; row < rows_; ++row) total += strips_[plane * rows_ + row].distance;
        return total * problem_.scale;
    }

    void gradient(std::int64_t plane, float* grad_v, float* grad_v_nbr) const {
        const std::int64_t width = problem_.width, reach = problem_.reach();
        for (std::int64_t y = 0; y < problem_.height; ++y) {
            float *line = grad_v + y * width, *line_nbr = grad_v_nbr + y * width;
            std::memset(line, 0, sizeof(float) * width);
            std::memset(line_nbr, 0, sizeof(float) * width);
            const std::int64_t first = y < reach ? 0 : (y - reach) / kTile, last = (y + reach) / kTile;
            for (std::int64_t row = first; row <= last && row < rows_; ++row) {
                const Strip& strip = strips_[plane * rows_ + row];
                const std::int64_t from = (y - strip.first_row) * width;
                for (std::int64_t x = 0; x < width; ++x) line[x] += strip.grad_v[from + x];
                for (std::int64_t x = 0; x < width; ++x) line_nbr[x] += strip.grad_v_nbr[from + x];
            }
        }
    }

private:
    const Problem& problem_;
    const Plane& planes_;
    const Kernels& kernels_;
    std::int64_t rows_;
    std::vector<Strip> strips_;
    Memory gradients_;

    std::size_t strip_size() const {
        const std::int64_t rows = problem_.extent < problem_.height ? problem_.extent : problem_.height;
        return static_cast<std::size_t>(rows * problem_.width);
    }

    void compute_strip(std::size_t index, char* memory) {
        const std::int64_t row = static_cast<std::int64_t>(index) % rows_;
        const std::int64_t offset = static_cast<std::int64_t>(index) / rows_ * problem_.height * problem_.width;
        const Plane plane{planes_.v + offset, planes_.v_nbr + offset, planes_.w + offset, planes_.w_nbr + offset};
        Strip& strip = strips_[index];
        const std::int64_t first = row * kTile - problem_.reach();
        strip = {0.0, nullptr, nullptr, first < 0 ? 0 : first};
        if (problem_.need_gradient) {
            strip.grad_v = reinterpret_cast<float*>(gradients_.get()) + index * 2 * strip_size();
            strip.grad_v_nbr = strip.grad_v + strip_size();
            std::memset(strip.grad_v, 0, sizeof(float) * 2 * strip_size());
        }
        kernels_.run_strip(problem_, plane, row, strip, memory);
    }

    // Runs `work` in up to `threads` threads, this one included, each with a workspace.
    template <class Work>
    void in_threads(int threads, std::size_t tasks, Work work) const {
        const std::size_t count = threads < 1 ? 1 : tasks < static_cast<std::size_t>(threads) ? tasks : threads;
        std::vector<Memory> memory;
        for (std::size_t k = 0; k < count; ++k) memory.push_back(allocate(kernels_.workspace_size(problem_)));
        const auto guarded = [&](char* workspace) {
            const FlushSubnormals flush;
            work(workspace);
        };
        std::vector<std::thread> helpers;
        for (std::size_t k = 1; k < count; ++k) {
            try {
                helpers.emplace_back(guarded, memory[k].get());
            } catch (const std::system_error&) {
                break;  // no more threads to be had: those that run take all the work
            }
        }
        guarded(memory[0].get());
        for (std::thread& helper : helpers) helper.join();
    }
};

}  // namespace
}  // namespace spatial_entropy

#ifndef SPATIAL_ENTROPY_SOURCES
#define SPATIAL_ENTROPY_SOURCES "unknown"
#endif

// The digest of the sources this library was built from.
EXPORT const char* spatial_entropy_sources() { return SPATIAL_ENTROPY_SOURCES; }

// 1 where this processor (and this build) has the instruction set.
EXPORT int spatial_entropy_supports(int instruction_set) { return spatial_entropy::supported(instruction_set); }

// Distance and gradient of `planes` planes of height x width; `gradient` arrays may both be null. Arguments are those of
// definition.py; windows are odd and positive. Returns 0, 1 if memory ran out, or 2 for an instruction set that
// this processor does not have.
EXPORT int spatial_entropy_run(const float* v, const float* v_nbr, const float* w, const float* w_nbr, float* result,
                               float* grad_v, float* grad_v_nbr, std::int64_t planes, std::int64_t height,
                               std::int64_t width, int distance, int levels, const int* windows, int window_count,
                               double bandwidth, double prefactor, int normalise, double root_epsilon, int threads,
                               int instruction_set) {
    using namespace spatial_entropy;
    if (instruction_set == kBest)
        for (instruction_set = kAvx512; !supported(instruction_set);) --instruction_set;
    if (!supported(instruction_set)) return 2;
    try {
        Problem problem{};
        problem.height = height;
        problem.width = width;
        problem.levels = levels;
        problem.inverse_bandwidth = static_cast<float>(1.0 / bandwidth);
        problem.prefactor = static_cast<float>(prefactor);
        problem.normalise = normalise != 0;
        problem.need_gradient = grad_v != nullptr;
        problem.distance = static_cast<Distance>(distance);
        problem.root_epsilon = static_cast<float>(std::max(root_epsilon, 1e-30));
        problem.scale = 1.0 / (static_cast<double>(height * width) * window_count);
        // A window that covers the whole plane from everywhere sums no more than one that just does.
        const std::int64_t covering = 2 * (height > width ? height : width) - 1;
        std::vector<Window> summed;
        for (int k = 0; k < window_count; ++k) {
            if (windows[k] == 1 && problem.distance == Distance::hellinger) {
                ++problem.separable_windows;
                continue;
            }
            const std::int64_t side = windows[k] < covering ? windows[k] : covering;
            summed.push_back({static_cast<int>(side), 1.0f / (static_cast<float>(windows[k]) * windows[k])});
        }
        std::sort(summed.begin(), summed.end(), [](const Window& a, const Window& b) { return a.side > b.side; });
        problem.windows = summed.data();
        problem.window_count = static_cast<int>(summed.size());
        problem.extent = kTile - 1 + (summed.empty() ? 1 : summed[0].side);
        // Sums over a window stay below 2^60, products of two below 2^120.
        const double largest = prefactor * (normalise ? 1.0 : 1.0 / 16.0) * (problem.extent - kTile + 1.0) *
                               (problem.extent - kTile + 1.0);
        problem.density_scale =
            problem.distance == Distance::hellinger ? static_cast<float>(std::ldexp(1.0, 60) / largest) : 1.0f;

        const Kernels chosen = kernels(instruction_set);
        const Plane first{v, v_nbr, w, w_nbr};
        Run run(problem, first, planes, chosen);
        run.compute(threads);
        for (std::int64_t plane = 0; plane < planes; ++plane) {
            result[plane] = static_cast<float>(run.distance(plane));
            if (problem.need_gradient)
                run.gradient(plane, grad_v + plane * height * width, grad_v_nbr + plane * height * width);
        }
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
