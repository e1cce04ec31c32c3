// shotstream._native: addresses and sizes in, nothing out. The Python ops check meaning; here only what would crash.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>

#include "shotstream/cpu.h"

namespace py = pybind11;
using Address = std::uintptr_t;

namespace {

template <typename T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

void rope_cache_write_f32(Address q, Address k, Address v, Address weight_q, Address weight_k, Address cache_k,
                          Address cache_v, Address table, Address q_local, Address q_context, std::int64_t num_tokens,
                          std::int64_t num_heads, std::int64_t head_dim, float eps) {
    require(num_tokens >= 0 && num_heads > 0 && head_dim > 0 && head_dim % 2 == 0,
            "num_tokens must not be negative, num_heads positive, head_dim positive and even");
    require((q == 0) == (q_local == 0), "q and q_local must be given together");
    require(num_tokens == 0 || (k && v && weight_q && weight_k && cache_k && cache_v && table),
            "a required address is null");
    const shotstream::RopeCacheWriteF32 params{
        pointer<const float>(q),        pointer<const float>(k),     pointer<const float>(v),
        pointer<const float>(weight_q), pointer<const float>(weight_k), pointer<float>(cache_k),
        pointer<float>(cache_v),        pointer<const float>(table), pointer<float>(q_local),
        pointer<float>(q_context),      num_tokens,                  num_heads,
        head_dim,                       eps};
    py::gil_scoped_release release;
    shotstream::rope_cache_write_f32(params);
}

void pack_rgb8_f32(Address planes, Address rgb, std::int64_t num_frames, std::int64_t num_pixels) {
    require(num_frames >= 0 && num_pixels >= 0, "sizes must not be negative");
    require(num_frames * num_pixels == 0 || (planes && rgb), "a required address is null");
    const shotstream::PackRgb8F32 params{pointer<const float>(planes), pointer<std::uint8_t>(rgb), num_frames,
                                         num_pixels};
    py::gil_scoped_release release;
    shotstream::pack_rgb8_f32(params);
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "Compiled hot path of shotstream. Takes integer addresses; callers keep the memory alive.";
    m.attr("__version__") = SHOTSTREAM_VERSION;
    m.attr("built_with_cuda") = false;
    m.def("rope_cache_write_f32", &rope_cache_write_f32, py::kw_only(), py::arg("q"), py::arg("k"), py::arg("v"),
          py::arg("weight_q"), py::arg("weight_k"), py::arg("cache_k"), py::arg("cache_v"), py::arg("table"),
          py::arg("q_local"), py::arg("q_context"), py::arg("num_tokens"), py::arg("num_heads"),
          py::arg("head_dim"), py::arg("eps"));
    m.def("pack_rgb8_f32", &pack_rgb8_f32, py::kw_only(), py::arg("planes"), py::arg("rgb"), py::arg("num_frames"),
          py::arg("num_pixels"));
}
