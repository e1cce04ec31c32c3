// The denoising loop's kernels by addresses: launched on a stream where the module was built with CUDA, and replayed on
// the host for tests. Both take the same arguments.
#include "bindings.h"
#include "shotstream/cuda_ops.h"

namespace py = pybind11;

namespace shotstream {
namespace {

using RopeCacheWrite = int (*)(const RopeCacheWriteParams&, Address stream);
using CacheAttention = int (*)(const CacheAttentionParams&, Address stream);

#ifdef SHOTSTREAM_CUDA
CUstream_st* stream_at(Address stream) { return pointer<CUstream_st>(stream); }
int launch_rope(const RopeCacheWriteParams& p, Address s) { return shs_launch_rope_cache_write(&p, stream_at(s)); }
int launch_attention(const CacheAttentionParams& p, Address s) { return shs_launch_cache_attention(&p, stream_at(s)); }
#endif
int replay_rope(const RopeCacheWriteParams& p, Address) { return shs_replay_rope_cache_write(&p); }
int replay_attention(const CacheAttentionParams& p, Address) { return shs_replay_cache_attention(&p); }

template <RopeCacheWrite run>
int bound_rope_cache_write(Address q, Address k, Address v, Address weight_q, Address weight_k, Address table,
                           Address descriptor, Address state, Address q_local, Address q_context,
                           std::int64_t num_tokens, std::int64_t num_heads, std::int64_t head_dim, float eps,
                           std::int32_t element, Address stream) {
    require((q == 0) == (q_local == 0), "q and q_local must be given together");
    require((q == 0) || (weight_q && q_context), "queries need weight_q and q_context");
    require(k && v && weight_k && table && descriptor && state, "a required address is null");
    const RopeCacheWriteParams params{pointer<const void>(q),
                                      pointer<const void>(k),
                                      pointer<const void>(v),
                                      pointer<const void>(weight_q),
                                      pointer<const void>(weight_k),
                                      pointer<const float>(table),
                                      {pointer<const std::int64_t>(descriptor), pointer<const std::int32_t>(state)},
                                      pointer<void>(q_local),
                                      pointer<void>(q_context),
                                      num_tokens,
                                      num_heads,
                                      head_dim,
                                      eps,
                                      element};
    py::gil_scoped_release release;
    return run(params, stream);
}

template <CacheAttention run>
int bound_cache_attention(Address q_local, Address q_context, Address descriptor, Address state, Address out,
                          std::int64_t num_tokens, std::int64_t num_heads, std::int64_t head_dim, float scale,
                          std::int32_t element, Address stream) {
    require(q_local && q_context && descriptor && state && out, "a required address is null");
    const CacheAttentionParams params{
        pointer<const void>(q_local), pointer<const void>(q_context),
        {pointer<const std::int64_t>(descriptor), pointer<const std::int32_t>(state)},
        pointer<void>(out), num_tokens, num_heads, head_dim, scale, element};
    py::gil_scoped_release release;
    return run(params, stream);
}

template <RopeCacheWrite rope, CacheAttention attention>
void define(py::module_& m, const char* rope_name, const char* attention_name) {
    m.def(rope_name, &bound_rope_cache_write<rope>, py::kw_only(), py::arg("q"), py::arg("k"), py::arg("v"),
          py::arg("weight_q"), py::arg("weight_k"), py::arg("table"), py::arg("descriptor"), py::arg("state"),
          py::arg("q_local"), py::arg("q_context"), py::arg("num_tokens"), py::arg("num_heads"), py::arg("head_dim"),
          py::arg("eps"), py::arg("element"), py::arg("stream"));
    m.def(attention_name, &bound_cache_attention<attention>, py::kw_only(), py::arg("q_local"), py::arg("q_context"),
          py::arg("descriptor"), py::arg("state"), py::arg("out"), py::arg("num_tokens"), py::arg("num_heads"),
          py::arg("head_dim"), py::arg("scale"), py::arg("element"), py::arg("stream"));
}

}  // namespace

void bind_cuda_ops(py::module_& m) {
    m.attr("FLOAT32") = static_cast<int>(SHS_FLOAT32);
    m.attr("FLOAT16") = static_cast<int>(SHS_FLOAT16);
    m.attr("BFLOAT16") = static_cast<int>(SHS_BFLOAT16);
    define<replay_rope, replay_attention>(m, "replay_rope_cache_write", "replay_cache_attention");
#ifdef SHOTSTREAM_CUDA
    m.attr("built_with_cuda") = true;
    define<launch_rope, launch_attention>(m, "launch_rope_cache_write", "launch_cache_attention");
#else
    m.attr("built_with_cuda") = false;
#endif
}

}  // namespace shotstream
