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

void bound_pack_pixels(Address rgb, std::int64_t rgb_stride, Address out, std::int64_t stride, std::int64_t width,
                       std::int64_t height, std::uint32_t format, std::uint32_t origin, bool vectorised) {
    require(format >= SHS_PIXEL_RGBA8 && format <= SHS_PIXEL_NV12, "format is not one of 1..4");
    require(origin == SHS_ORIGIN_TOP_LEFT || origin == SHS_ORIGIN_BOTTOM_LEFT, "origin is not 1 or 2");
    require(width > 0 && height > 0, "sizes must be positive");
    require(format != SHS_PIXEL_NV12 || (width % 2 == 0 && height % 2 == 0), "NV12 needs even sizes");
    const std::int64_t num_bytes = format == SHS_PIXEL_NV12 ? 1 : format == SHS_PIXEL_RGB8 ? 3 : 4;
    require(stride >= num_bytes * width, "stride is shorter than a row");
    require(rgb_stride >= 3 * width || rgb_stride <= -3 * width, "rgb_stride is shorter than a row");
    require(rgb && out, "a required address is null");
    const PackPixels params{pointer<const std::uint8_t>(rgb), rgb_stride, pointer<std::uint8_t>(out), stride, width,
                            height, format, origin, vectorised};
    py::gil_scoped_release release;
    pack_pixels(params);
}

}  // namespace

void bind_pack(py::module_& m) {
    m.def("pack_rgb8_f32", &bound_pack_rgb8_f32, py::kw_only(), py::arg("planes"), py::arg("rgb"),
          py::arg("num_frames"), py::arg("num_pixels"));
    m.def("pack_pixels", &bound_pack_pixels, py::kw_only(), py::arg("rgb"), py::arg("rgb_stride"), py::arg("out"),
          py::arg("stride"), py::arg("width"), py::arg("height"), py::arg("format"), py::arg("origin"),
          py::arg("vectorised") = true);
}

}  // namespace shotstream
