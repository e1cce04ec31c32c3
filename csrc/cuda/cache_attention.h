// out = softmax(scale * [q_context K_context^T | q_local K_local^T]) [V_context | V_local], one head at a time.
//
// A block of threads owns 32 queries of one head and walks over tiles of 32 keys: first the context, met by q_context
// when the window slides, then the local rows, met by q_local. It keeps the running maximum, the running sum and the
// output in float32 (online softmax), so the scores never reach memory. Bound by arithmetic: 4 L R N D operations, here
// on the ordinary float32 units of any GPU from sm_80 on; tensor cores are the business of another kernel.
#pragma once

#include "portable.h"

namespace shotstream {

template <int kMaxHeadDim>
struct CacheAttentionKernel {
    static constexpr int kQueries = 32, kKeys = 32, kThreads = 128;
    static constexpr int kStride = kMaxHeadDim + 1;  // odd: neighbouring rows lie in different banks
    static constexpr int kLanes = 8;                 // threads that share a pair of queries
    static constexpr int kRows = 2;                  // queries of a thread
    static constexpr int kParts = kThreads / kQueries;  // threads that share one query in the softmax
    static constexpr int kBlocksPerSM = 4;           // leaves 128 registers to a thread: no spills

    struct Shared {
        float q[kQueries * kStride];
        float kv[kKeys * kStride];  // keys, then the values of the same rows
        float p[kQueries * (kKeys + 1)];
        float part_max[kQueries * kParts], part_sum[kQueries * kParts];
        float max[kQueries], next_max[kQueries], sum[kQueries], shrink[kQueries];
    };

    struct Own {
        float out[kRows][kMaxHeadDim / kLanes];
    };

    // Rows first .. first + 32 of one head as float32; what lies outside rows or channels is zero.
    template <typename T>
    SHS_BOTH static void load(float* to, const T* from, std::int64_t first, std::int64_t end, std::int64_t head,
                              const CacheAttentionParams& p, float factor, int thread) {
        for (int i = thread; i < 32 * kMaxHeadDim; i += kThreads) {
            const int row = i / kMaxHeadDim, channel = i % kMaxHeadDim;
            const bool inside = first + row < end && channel < p.head_dim;
            const std::int64_t at = ((first + row) * p.num_heads + head) * p.head_dim + channel;
            to[row * kStride + channel] = inside ? widened(from[at]) * factor : 0.f;
        }
    }

    SHS_BOTH static void clear(int thread, Shared& shared, Own& own) {
        for (int i = 0; i < kRows; ++i)
            SHS_UNROLL
            for (int j = 0; j < kMaxHeadDim / kLanes; ++j) own.out[i][j] = 0.f;
        if (thread >= kQueries) return;
        shared.max[thread] = -INFINITY;
        shared.sum[thread] = 0.f;
    }

    // Scores of a tile, in powers of two; -inf beyond its valid keys.
    SHS_BOTH static void score(int num_valid, int thread, Shared& shared) {
        const int row = thread / kLanes * kRows, lane = thread % kLanes;
        float sums[kRows][kKeys / kLanes] = {};
        for (int channel = 0; channel < kMaxHeadDim; ++channel)
            SHS_UNROLL
            for (int i = 0; i < kRows; ++i)
                SHS_UNROLL
                for (int j = 0; j < kKeys / kLanes; ++j)
                    sums[i][j] += shared.q[(row + i) * kStride + channel] *
                                  shared.kv[(lane + kLanes * j) * kStride + channel];
        SHS_UNROLL
        for (int i = 0; i < kRows; ++i)
            SHS_UNROLL
            for (int j = 0; j < kKeys / kLanes; ++j) {
                const int key = lane + kLanes * j;
                shared.p[(row + i) * (kKeys + 1) + key] = key < num_valid ? sums[i][j] : -INFINITY;
            }
    }

    SHS_BOTH static void find_part_max(int thread, Shared& shared) {
        const float* scores = shared.p + thread / kParts * (kKeys + 1);
        float largest = -INFINITY;
        for (int key = thread % kParts; key < kKeys; key += kParts) largest = fmaxf(largest, scores[key]);
        shared.part_max[thread] = largest;
    }

    SHS_BOTH static void exponentiate(int thread, Shared& shared) {
        const int row = thread / kParts;
        float* scores = shared.p + row * (kKeys + 1);
        float largest = shared.max[row];
        for (int part = 0; part < kParts; ++part) largest = fmaxf(largest, shared.part_max[row * kParts + part]);
        float sum = 0.f;
        for (int key = thread % kParts; key < kKeys; key += kParts) {
            scores[key] = exp2f(scores[key] - largest);
            sum += scores[key];
        }
        shared.part_sum[thread] = sum;
        if (thread % kParts != 0) return;
        shared.next_max[row] = largest;
        shared.shrink[row] = exp2f(shared.max[row] - largest);
    }

    SHS_BOTH static void accumulate(int thread, Shared& shared, Own& own) {
        const int row = thread / kLanes * kRows, lane = thread % kLanes;
        SHS_UNROLL
        for (int i = 0; i < kRows; ++i)
            SHS_UNROLL
            for (int j = 0; j < kMaxHeadDim / kLanes; ++j) own.out[i][j] *= shared.shrink[row + i];
        for (int key = 0; key < kKeys; ++key)
            SHS_UNROLL
            for (int j = 0; j < kMaxHeadDim / kLanes; ++j) {
                const float value = shared.kv[key * kStride + lane + kLanes * j];
                SHS_UNROLL
                for (int i = 0; i < kRows; ++i) own.out[i][j] += shared.p[(row + i) * (kKeys + 1) + key] * value;
            }
        if (thread >= kQueries) return;
        float sum = shared.sum[thread] * shared.shrink[thread];
        for (int part = 0; part < kParts; ++part) sum += shared.part_sum[thread * kParts + part];
        shared.sum[thread] = sum;
        shared.max[thread] = shared.next_max[thread];
    }

    template <typename T>
    SHS_BOTH static void store(const CacheAttentionParams& p, std::int64_t first_query, std::int64_t head,
                               bool has_cache, int thread, const Shared& shared, const Own& own) {
        const int row = thread / kLanes * kRows, lane = thread % kLanes;
        SHS_UNROLL
        for (int i = 0; i < kRows; ++i) {
            const float sum = shared.sum[row + i];
            const float share = !has_cache ? NAN : sum == 0.f ? 0.f : 1.f / sum;
            const std::int64_t query = first_query + row + i;
            SHS_UNROLL
            for (int j = 0; j < kMaxHeadDim / kLanes; ++j) {
                const int channel = lane + kLanes * j;
                if (query < p.num_tokens && channel < p.head_dim)
                    static_cast<T*>(p.out)[(query * p.num_heads + head) * p.head_dim + channel] =
                        narrowed<T>(own.out[i][j] * share);
            }
        }
    }

    // The whole schedule of one block of threads. `each(phase)` runs phase(thread, own registers) for all threads of
    // the block and then waits for them.
    template <typename T, typename Each>
    SHS_BOTH static void run(const CacheAttentionParams& p, std::int64_t first_query, std::int64_t head,
                             Shared& shared, Each each) {
        const CacheRows<T> cache = cache_rows<T>(p.cache, 0, p.num_heads * p.head_dim);
        const float factor = p.scale * 1.4426950408889634f;  // exp(x) = 2^(x log2 e)
        each([&](int thread, Own& own) { clear(thread, shared, own); });
        for (int part = 0; part < 2 && cache.keys != nullptr; ++part) {
            const bool is_context = part == 0;
            const std::int64_t start = is_context ? 0 : cache.local_start;
            const std::int64_t end = start + (is_context ? cache.context : cache.local);
            const T* q = static_cast<const T*>(is_context && cache.split ? p.q_context : p.q_local);
            each([&](int thread, Own&) { load(shared.q, q, first_query, p.num_tokens, head, p, factor, thread); });
            for (std::int64_t tile = start; tile < end; tile += kKeys) {
                const int num_valid = static_cast<int>(end - tile < kKeys ? end - tile : kKeys);
                each([&](int thread, Own&) { load(shared.kv, cache.keys, tile, end, head, p, 1.f, thread); });
                each([&](int thread, Own&) { score(num_valid, thread, shared); });
                each([&](int thread, Own&) {
                    load(shared.kv, cache.values, tile, end, head, p, 1.f, thread);
                    find_part_max(thread, shared);
                });
                each([&](int thread, Own&) { exponentiate(thread, shared); });
                each([&](int thread, Own& own) { accumulate(thread, shared, own); });
            }
        }
        each([&](int thread, Own& own) {
            store<T>(p, first_query, head, cache.keys != nullptr, thread, shared, own);
        });
    }
};

}  // namespace shotstream
