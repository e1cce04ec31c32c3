#include "shotstream/cpu.h"

namespace shotstream {
namespace {

std::uint8_t byte_from_unit(float x) {
    // Same operations in the same order as the plain version, so that both truncate alike. NaN becomes black.
    const float scaled = x * 0.5f + 0.5f;
    const float clamped = scaled > 0.f ? (scaled < 1.f ? scaled : 1.f) : 0.f;
    return static_cast<std::uint8_t>(static_cast<int>(clamped * 255.f));
}

}  // namespace

void pack_rgb8_f32(const PackRgb8F32& p) {
    for (std::int64_t frame = 0; frame < p.num_frames; ++frame) {
        const float* __restrict red = p.planes + frame * 3 * p.num_pixels;
        const float* __restrict green = red + p.num_pixels;
        const float* __restrict blue = green + p.num_pixels;
        std::uint8_t* __restrict out = p.rgb + frame * 3 * p.num_pixels;
        for (std::int64_t i = 0; i < p.num_pixels; ++i) {
            out[3 * i] = byte_from_unit(red[i]);
            out[3 * i + 1] = byte_from_unit(green[i]);
            out[3 * i + 2] = byte_from_unit(blue[i]);
        }
    }
}

}  // namespace shotstream
