// byte = trunc(255 * clamp(x / 2 + 1/2, 0, 1)) for three planes, interleaved. Bound by memory: 12 bytes in, 3 out a pixel.
#include "shotstream/pack.h"

#include "simd.h"

namespace shotstream {
namespace {

struct Planes {
    const float* red;
    const float* green;
    const float* blue;
};

std::uint8_t byte_from_unit(float x) {
    // Same operations in the same order as the plain version, so that both truncate alike. NaN becomes black.
    const float scaled = x * 0.5f + 0.5f;
    const float clamped = scaled > 0.f ? (scaled < 1.f ? scaled : 1.f) : 0.f;
    return static_cast<std::uint8_t>(static_cast<int>(clamped * 255.f));
}

void pack_scalar(const Planes& planes, std::uint8_t* out, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
        out[3 * i] = byte_from_unit(planes.red[i]);
        out[3 * i + 1] = byte_from_unit(planes.green[i]);
        out[3 * i + 2] = byte_from_unit(planes.blue[i]);
    }
}

#if SHS_HAS_SSSE3_CODE

SHS_SSSE3 __m128i four_bytes_from_units(const float* x) {
    const __m128 half = _mm_set1_ps(0.5f);
    const __m128 scaled = _mm_add_ps(_mm_mul_ps(_mm_loadu_ps(x), half), half);
    // maxps returns its second operand when the first is NaN: black, as in the scalar code.
    const __m128 clamped = _mm_min_ps(_mm_max_ps(scaled, _mm_setzero_ps()), _mm_set1_ps(1.f));
    return _mm_cvttps_epi32(_mm_mul_ps(clamped, _mm_set1_ps(255.f)));
}

SHS_SSSE3 __m128i sixteen_bytes_from_units(const float* x) {
    return _mm_packus_epi16(_mm_packs_epi32(four_bytes_from_units(x), four_bytes_from_units(x + 4)),
                            _mm_packs_epi32(four_bytes_from_units(x + 8), four_bytes_from_units(x + 12)));
}

// Masks that send byte i of channel c to byte 3 * i + c of 48: one for each channel and third of the output.
struct InterleaveMasks {
    alignas(16) std::int8_t bytes[3][3][16];
    constexpr InterleaveMasks() : bytes() {
        for (int third = 0; third < 3; ++third)
            for (int channel = 0; channel < 3; ++channel)
                for (int j = 0; j < 16; ++j) {
                    const int place = 16 * third + j;
                    bytes[third][channel][j] = static_cast<std::int8_t>(place % 3 == channel ? place / 3 : -1);
                }
    }
};
constexpr InterleaveMasks kInterleave;

// Whole groups of 16 pixels; returns how many pixels it packed.
SHS_SSSE3 std::int64_t pack_ssse3(const Planes& planes, std::uint8_t* out, std::int64_t num_pixels) {
    __m128i masks[3][3];
    for (int third = 0; third < 3; ++third)
        for (int channel = 0; channel < 3; ++channel)
            masks[third][channel] = _mm_load_si128(reinterpret_cast<const __m128i*>(kInterleave.bytes[third][channel]));
    std::int64_t i = 0;
    for (; i + 16 <= num_pixels; i += 16) {
        const __m128i red = sixteen_bytes_from_units(planes.red + i);
        const __m128i green = sixteen_bytes_from_units(planes.green + i);
        const __m128i blue = sixteen_bytes_from_units(planes.blue + i);
        for (int third = 0; third < 3; ++third) {
            const __m128i mixed = _mm_or_si128(
                _mm_or_si128(_mm_shuffle_epi8(red, masks[third][0]), _mm_shuffle_epi8(green, masks[third][1])),
                _mm_shuffle_epi8(blue, masks[third][2]));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i + 16 * third), mixed);
        }
    }
    return i;
}

#endif

}  // namespace

void pack_rgb8_f32(const PackRgb8F32& p) {
    for (std::int64_t frame = 0; frame < p.num_frames; ++frame) {
        const float* red = p.planes + frame * 3 * p.num_pixels;
        const Planes planes{red, red + p.num_pixels, red + 2 * p.num_pixels};
        std::uint8_t* out = p.rgb + frame * 3 * p.num_pixels;
        std::int64_t done = 0;
#if SHS_HAS_SSSE3_CODE
        if (cpu_has_ssse3()) done = pack_ssse3(planes, out, p.num_pixels);
#endif
        pack_scalar(planes, out, done, p.num_pixels);
    }
}

}  // namespace shotstream
