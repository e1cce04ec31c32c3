// y = round(round(x * rsqrt(mean(x^2) + eps)) * weight), then (a + ib) * (cos + i sin) on adjacent pairs.
//
// One block of threads per token. Bound by memory: q, k, v are read (twice, the second time from L1), q and the cache
// rows are written once. Roundings fall where the plain version has them.
#pragma once

#include "portable.h"

namespace shotstream {

struct RopeCacheWriteKernel {
    static constexpr int kThreads = 128;
    static constexpr int kGroups = 16;  // of partial sums, so that no thread adds up all of them

    struct Shared {
        float square_q[kThreads], square_k[kThreads];
        float group_q[kGroups], group_k[kGroups];
    };

    template <typename T>
    SHS_BOTH static float square_sum(const T* x, std::int64_t width, int thread) {
        float sum = 0.f;
        for (std::int64_t i = thread; i < width; i += kThreads) sum += widened(x[i]) * widened(x[i]);
        return sum;
    }

    template <typename T>
    SHS_BOTH static void add_squares(const RopeCacheWriteParams& p, std::int64_t token, int thread, Shared& shared) {
        const std::int64_t width = p.num_heads * p.head_dim, row = token * width;
        shared.square_k[thread] = square_sum(static_cast<const T*>(p.k) + row, width, thread);
        shared.square_q[thread] = p.q ? square_sum(static_cast<const T*>(p.q) + row, width, thread) : 0.f;
    }

    SHS_BOTH static void add_groups(int thread, Shared& shared) {
        if (thread >= kGroups) return;
        float q = 0.f, k = 0.f;
        for (int i = thread; i < kThreads; i += kGroups) {
            q += shared.square_q[i];
            k += shared.square_k[i];
        }
        shared.group_q[thread] = q;
        shared.group_k[thread] = k;
    }

    SHS_BOTH static float inverse_rms(const float* groups, std::int64_t width, float eps) {
        float sum = 0.f;
        for (int i = 0; i < kGroups; ++i) sum += groups[i];
        return 1.f / sqrtf(sum / static_cast<float>(width) + eps);
    }

    template <typename T>
    SHS_BOTH static void turn(T* y, float a, float b, const float* cos_sin) {
        y[0] = narrowed<T>(a * cos_sin[0] - b * cos_sin[1]);
        y[1] = narrowed<T>(a * cos_sin[1] + b * cos_sin[0]);
    }

    template <typename T>
    SHS_BOTH static float normalised(const T* x, const T* weight, std::int64_t i, float scale) {
        return rounded<T>(rounded<T>(widened(x[i]) * scale) * widened(weight[i]));
    }

    template <typename T>
    SHS_BOTH static void write(const RopeCacheWriteParams& p, std::int64_t token, int thread, const Shared& shared) {
        const std::int64_t width = p.num_heads * p.head_dim, row = token * width;
        const CacheRows<T> cache = cache_rows<T>(p.cache, p.num_tokens, width);
        const T* k = static_cast<const T*>(p.k) + row;
        const T* v = static_cast<const T*>(p.v) + row;
        const T* weight_k = static_cast<const T*>(p.weight_k);
        const T* weight_q = static_cast<const T*>(p.weight_q);
        const float scale_k = inverse_rms(shared.group_k, width, p.eps);
        const float scale_q = inverse_rms(shared.group_q, width, p.eps);
        const float* local = p.table + token * p.head_dim;
        const float* context = local + p.num_tokens * p.head_dim;
        const std::int64_t to = (cache.write + token) * width;
        for (std::int64_t i = 2 * thread; i < width; i += 2 * kThreads) {
            const std::int64_t channel = i % p.head_dim;
            if (cache.keys) {
                turn(cache.keys + to + i, normalised(k, weight_k, i, scale_k),
                     normalised(k, weight_k, i + 1, scale_k), local + channel);
                cache.values[to + i] = v[i];
                cache.values[to + i + 1] = v[i + 1];
            }
            if (!p.q) continue;
            const T* q = static_cast<const T*>(p.q) + row;
            const float a = normalised(q, weight_q, i, scale_q), b = normalised(q, weight_q, i + 1, scale_q);
            turn(static_cast<T*>(p.q_local) + row + i, a, b, local + channel);
            if (cache.split) turn(static_cast<T*>(p.q_context) + row + i, a, b, context + channel);
        }
    }

    // The whole schedule of one block of threads. `each(phase)` runs phase(thread) for all threads of the block and then
    // waits for them.
    template <typename T, typename Each>
    SHS_BOTH static void run(const RopeCacheWriteParams& p, std::int64_t token, Shared& shared, Each each) {
        each([&](int thread) { add_squares<T>(p, token, thread, shared); });
        each([&](int thread) { add_groups(thread, shared); });
        each([&](int thread) { write<T>(p, token, thread, shared); });
    }
};

}  // namespace shotstream
