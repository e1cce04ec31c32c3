// Packing of pictures on the host. Raw pointers and sizes only.
#pragma once

#include <cstdint>

#include "shotstream/pixel_format.h"

namespace shotstream {

// Decoded frames, planar float [-1, 1], to packed 8-bit RGB. Values are clamped and truncated, not rounded.
struct PackRgb8F32 {
    const float* planes;  // [num_frames][3][num_pixels]
    std::uint8_t* rgb;    // [num_frames][num_pixels][3]
    std::int64_t num_frames;
    std::int64_t num_pixels;
};

void pack_rgb8_f32(const PackRgb8F32& params);

// One 8-bit RGB picture, top row first, to a format of pixel_format.h. Bytes between the end of a row and the next
// stride are left as they are. An NV12 picture has its plane of Cb Cr pairs right after height rows of Y, same stride.
struct PackPixels {
    const std::uint8_t* rgb;   // height rows of 3 * width bytes
    std::int64_t rgb_stride;   // bytes from row to row of the source; negative for a picture that is upside down
    std::uint8_t* out;
    std::int64_t stride;       // bytes from row to row of the result
    std::int64_t width;        // even for NV12
    std::int64_t height;       // even for NV12
    std::uint32_t format;      // SHS_PIXEL_*
    std::uint32_t origin;      // SHS_ORIGIN_*
    bool vectorised;           // false: scalar code, to compare with
};

void pack_pixels(const PackPixels& params);

}  // namespace shotstream
