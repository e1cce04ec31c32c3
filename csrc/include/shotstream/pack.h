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

}  // namespace shotstream
