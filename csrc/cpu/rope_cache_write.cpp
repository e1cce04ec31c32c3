// y = x * rsqrt(mean(x^2) + eps) * weight, then (a + ib) * (cos + i sin) on adjacent pairs.
// Bound by memory: q, k, v are read once, q and the cache rows written once.
#include <cmath>
#include <cstring>

#include "shotstream/cpu.h"

namespace shotstream {
namespace {

float inverse_rms(const float* x, std::int64_t width, float eps) {
    // Four partial sums let the compiler vectorise without reordering licence, and shorten the rounding chain.
    float sums[4] = {0.f, 0.f, 0.f, 0.f};
    std::int64_t i = 0;
    for (; i + 4 <= width; i += 4)
        for (int lane = 0; lane < 4; ++lane) sums[lane] += x[i + lane] * x[i + lane];
    for (; i < width; ++i) sums[0] += x[i] * x[i];
    const float mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / static_cast<float>(width);
    return 1.f / std::sqrt(mean + eps);
}

void normalise_and_turn(const float* __restrict x, const float* __restrict weight, const float* __restrict table,
                        float* __restrict y, float scale, std::int64_t num_heads, std::int64_t head_dim) {
    for (std::int64_t head = 0; head < num_heads; ++head) {
        const std::int64_t base = head * head_dim;
        for (std::int64_t c = 0; c < head_dim; c += 2) {
            const float a = x[base + c] * scale * weight[base + c];
            const float b = x[base + c + 1] * scale * weight[base + c + 1];
            const float cosine = table[c], sine = table[c + 1];
            y[base + c] = a * cosine - b * sine;
            y[base + c + 1] = a * sine + b * cosine;
        }
    }
}

}  // namespace

void rope_cache_write_f32(const RopeCacheWriteF32& p) {
    const std::int64_t width = p.num_heads * p.head_dim;
    const std::int64_t table_part = p.num_tokens * p.head_dim;
    for (std::int64_t token = 0; token < p.num_tokens; ++token) {
        const std::int64_t row = token * width;
        const float* turn = p.table + token * p.head_dim;
        normalise_and_turn(p.k + row, p.weight_k, turn, p.cache_k + row, inverse_rms(p.k + row, width, p.eps),
                           p.num_heads, p.head_dim);
        std::memcpy(p.cache_v + row, p.v + row, static_cast<std::size_t>(width) * sizeof(float));
        if (p.q == nullptr) continue;
        const float scale = inverse_rms(p.q + row, width, p.eps);
        normalise_and_turn(p.q + row, p.weight_q, turn, p.q_local + row, scale, p.num_heads, p.head_dim);
        if (p.q_context != nullptr)
            normalise_and_turn(p.q + row, p.weight_q, turn + table_part, p.q_context + row, scale, p.num_heads,
                               p.head_dim);
    }
}

}  // namespace shotstream
