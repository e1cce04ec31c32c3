// Host versions of the launch functions. Raw pointers and sizes only: no PyTorch, no Python.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shotstream {

// RMS norm over the full width, rotation of adjacent channel pairs, and cache write in one pass over memory.
// Rows of q, k, v and of the outputs are num_heads * head_dim floats, one row per token, contiguous.
struct RopeCacheWriteF32 {
    const float* q;         // may be null: nothing attends, only keys and values are stored
    const float* k;
    const float* v;
    const float* weight_q;  // num_heads * head_dim
    const float* weight_k;
    float* cache_k;         // first row to write
    float* cache_v;
    const float* table;     // [1 or 2][num_tokens][head_dim / 2][cos, sin]; the second part turns q_context
    float* q_local;         // null when q is
    float* q_context;       // null unless the query is turned twice
    std::int64_t num_tokens;
    std::int64_t num_heads;
    std::int64_t head_dim;  // even
    float eps;
};

void rope_cache_write_f32(const RopeCacheWriteF32& params);

}  // namespace shotstream
