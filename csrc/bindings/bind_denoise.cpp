// Operations of the denoising loop.
#include "bindings.h"
#include "shotstream/cpu.h"

namespace py = pybind11;

namespace shotstream {
namespace {

void bound_rope_cache_write_f32(Address q, Address k, Address v, Address weight_q, Address weight_k, Address cache_k,
                                Address cache_v, Address table, Address q_local, Address q_context,
                                std::int64_t num_tokens, std::int64_t num_heads, std::int64_t head_dim, float eps) {
    require(num_tokens >= 0 && num_heads > 0 && head_dim > 0 && head_dim % 2 == 0,
            "num_tokens must not be negative, num_heads positive, head_dim positive and even");
    require((q == 0) == (q_local == 0), "q and q_local must be given together");
    require(num_tokens == 0 || (k && v && weight_q && weight_k && cache_k && cache_v && table),
            "a required address is null");
    const RopeCacheWriteF32 params{
        pointer<const float>(q),        pointer<const float>(k),        pointer<const float>(v),
        pointer<const float>(weight_q), pointer<const float>(weight_k), pointer<float>(cache_k),
        pointer<float>(cache_v),        pointer<const float>(table),    pointer<float>(q_local),
        pointer<float>(q_context),      num_tokens,                     num_heads,
        head_dim,                       eps};
    py::gil_scoped_release release;
    rope_cache_write_f32(params);
}

}  // namespace

void bind_denoise(py::module_& m) {
    m.def("rope_cache_write_f32", &bound_rope_cache_write_f32, py::kw_only(), py::arg("q"), py::arg("k"),
          py::arg("v"), py::arg("weight_q"), py::arg("weight_k"), py::arg("cache_k"), py::arg("cache_v"),
          py::arg("table"), py::arg("q_local"), py::arg("q_context"), py::arg("num_tokens"), py::arg("num_heads"),
          py::arg("head_dim"), py::arg("eps"));
}

}  // namespace shotstream
