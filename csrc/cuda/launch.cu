// The kernels on a GPU of compute capability 8.0 or newer.
#include <cuda_runtime.h>

#include "dispatch.h"

namespace shotstream {
namespace {

template <typename T>
__global__ void __launch_bounds__(RopeCacheWriteKernel::kThreads)
    rope_cache_write_kernel(const RopeCacheWriteParams params) {
    __shared__ RopeCacheWriteKernel::Shared shared;
    RopeCacheWriteKernel::run<T>(params, blockIdx.x, shared, [](auto phase) {
        phase(static_cast<int>(threadIdx.x));
        __syncthreads();
    });
}

template <typename T, typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocksPerSM) cache_attention_kernel(const CacheAttentionParams params) {
    __shared__ typename Kernel::Shared shared;
    typename Kernel::Own own;
    const std::int64_t first_query = static_cast<std::int64_t>(blockIdx.x) * Kernel::kQueries;
    Kernel::template run<T>(params, first_query, blockIdx.y, shared, [&own](auto phase) {
        phase(static_cast<int>(threadIdx.x), own);
        __syncthreads();
    });
}

}  // namespace
}  // namespace shotstream

using namespace shotstream;

int shs_launch_rope_cache_write(const RopeCacheWriteParams* params, CUstream_st* stream) {
    if (!has_sizes(*params)) return kInvalidValue;
    if (params->num_tokens == 0) return kSuccess;
    return with_element(params->element, [&](auto element) -> int {
        const dim3 grid(static_cast<unsigned>(params->num_tokens));
        rope_cache_write_kernel<decltype(element)><<<grid, RopeCacheWriteKernel::kThreads, 0, stream>>>(*params);
        return cudaGetLastError();
    });
}

int shs_launch_cache_attention(const CacheAttentionParams* params, CUstream_st* stream) {
    if (!has_sizes(*params)) return kInvalidValue;
    if (params->num_tokens == 0) return kSuccess;
    return with_element(params->element, [&](auto element) {
        return with_head_dim(params->head_dim, [&](auto kernel) -> int {
            using Kernel = decltype(kernel);
            const std::int64_t tiles = (params->num_tokens + Kernel::kQueries - 1) / Kernel::kQueries;
            const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(params->num_heads));
            cache_attention_kernel<decltype(element), Kernel><<<grid, Kernel::kThreads, 0, stream>>>(*params);
            return cudaGetLastError();
        });
    });
}
