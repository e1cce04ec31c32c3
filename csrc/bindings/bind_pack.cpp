// Packing of pictures.
#include "bindings.h"
#include "shotstream/pack.h"

namespace py = pybind11;

namespace shotstream {
namespace {

void bound_pack_rgb8_f32(Address planes, Address rgb, std::int64_t num_frames, std::int64_t num_pixels) {
    require(num_frames >= 0 && num_pixels >= 0, "sizes must not be negative");
    require(num_frames * num_pixels == 0 || (planes && rgb), "a required address is null");
    const PackRgb8F32 params{pointer<const float>(planes), pointer<std::uint8_t>(rgb), num_frames, num_pixels};
    py::gil_scoped_release release;
    pack_rgb8_f32(params);
}

}  // namespace

void bind_pack(py::module_& m) {
    m.def("pack_rgb8_f32", &bound_pack_rgb8_f32, py::kw_only(), py::arg("planes"), py::arg("rgb"),
          py::arg("num_frames"), py::arg("num_pixels"));
}

}  // namespace shotstream
