// From run-time sizes and types to the compiled kernels. Shared by the launch functions and their replay on the host.
#pragma once

#include "cache_attention.h"
#include "rope_cache_write.h"

namespace shotstream {

constexpr int kSuccess = 0;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

template <typename Params>
bool has_sizes(const Params& p) {
    return p.num_tokens >= 0 && p.num_heads > 0 && p.head_dim > 0 && p.head_dim % 2 == 0;
}

// Calls visit(T{}) with the element type; kInvalidValue for an unknown one.
template <typename Visit>
int with_element(std::int32_t element, Visit visit) {
    switch (element) {
        case SHS_FLOAT32: return visit(float{});
        case SHS_FLOAT16: return visit(Half{});
        case SHS_BFLOAT16: return visit(BFloat16{});
        default: return kInvalidValue;
    }
}

// Calls visit(kernel) with the attention for the smallest compiled head size that holds head_dim.
template <typename Visit>
int with_head_dim(std::int64_t head_dim, Visit visit) {
    if (head_dim <= 32) return visit(CacheAttentionKernel<32>{});
    if (head_dim <= 64) return visit(CacheAttentionKernel<64>{});
    if (head_dim <= 128) return visit(CacheAttentionKernel<128>{});
    return kInvalidValue;
}

}  // namespace shotstream
