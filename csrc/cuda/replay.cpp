// The kernels on the host, one thread of one block after the other: the same phases in the same order. Every other block
// runs its threads backwards, because a phase whose threads needed each other's results would lack a barrier.
#include <memory>

#include "dispatch.h"

using namespace shotstream;

namespace {

template <int num_threads, typename Run>
void each_thread(bool backwards, Run run) {
    for (int i = 0; i < num_threads; ++i) run(backwards ? num_threads - 1 - i : i);
}

}  // namespace

int shs_replay_rope_cache_write(const RopeCacheWriteParams* params) {
    if (!has_sizes(*params)) return kInvalidValue;
    return with_element(params->element, [&](auto element) {
        RopeCacheWriteKernel::Shared shared;
        for (std::int64_t token = 0; token < params->num_tokens; ++token)
            RopeCacheWriteKernel::run<decltype(element)>(*params, token, shared, [&](auto phase) {
                each_thread<RopeCacheWriteKernel::kThreads>(token % 2 == 1, phase);
            });
        return kSuccess;
    });
}

int shs_replay_cache_attention(const CacheAttentionParams* params) {
    if (!has_sizes(*params)) return kInvalidValue;
    return with_element(params->element, [&](auto element) {
        return with_head_dim(params->head_dim, [&](auto kernel) {
            using Kernel = decltype(kernel);
            const auto shared = std::make_unique<typename Kernel::Shared>();
            const auto own = std::make_unique<typename Kernel::Own[]>(Kernel::kThreads);
            for (std::int64_t query = 0; query < params->num_tokens; query += Kernel::kQueries)
                for (std::int64_t head = 0; head < params->num_heads; ++head)
                    Kernel::template run<decltype(element)>(*params, query, head, *shared, [&](auto phase) {
                        each_thread<Kernel::kThreads>((query / Kernel::kQueries + head) % 2 == 1,
                                                      [&](int thread) { phase(thread, own[thread]); });
                    });
            return kSuccess;
        });
    });
}
