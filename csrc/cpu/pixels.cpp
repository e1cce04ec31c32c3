// 8-bit RGB to the formats that engines upload. Row functions come in pairs: scalar for any range of pixels, and SSSE3
// for whole groups of 16, which returns how many pixels it did; the scalar code does the rest.
//
// Luma and chroma are BT.709 limited range in 15-bit fixed point, rounded to nearest:
//   Y  = 16  + 219/255 * (0.2126 R + 0.7152 G + 0.0722 B)
//   Cb = 128 + 224/255 * (B - Y') / 1.8556      Cr = 128 + 224/255 * (R - Y') / 1.5748
// with R, G, B of the mean of 2x2 pixels for Cb and Cr (sited at the centre of the four).
#include <cstring>

#include "shotstream/pack.h"
#include "simd.h"

namespace shotstream {
namespace {

using std::int64_t;
using std::uint8_t;

// Factors times 2^15. Those of Cb and of Cr add up to zero, so grey has no colour.
struct Factors {
    std::int16_t red, green, blue;
};
constexpr Factors kLuma{5983, 20127, 2032};
constexpr Factors kCb{-3298, -11094, 14392};
constexpr Factors kCr{14392, -13072, -1320};
constexpr int kLumaShift = 15;
constexpr int kChromaShift = 17;  // two bits more: the sum of four pixels
constexpr std::int32_t kLumaOffset = (16 << kLumaShift) + (1 << (kLumaShift - 1));
constexpr std::int32_t kChromaOffset = (128 << kChromaShift) + (1 << (kChromaShift - 1));

uint8_t weighted(const Factors& f, std::int32_t red, std::int32_t green, std::int32_t blue, std::int32_t offset,
                 int shift) {
    return static_cast<uint8_t>((f.red * red + f.green * green + f.blue * blue + offset) >> shift);
}

void four_channel_scalar(const uint8_t* rgb, uint8_t* out, int64_t begin, int64_t end, bool blue_first) {
    const int first = blue_first ? 2 : 0;
    for (int64_t i = begin; i < end; ++i) {
        out[4 * i] = rgb[3 * i + first];
        out[4 * i + 1] = rgb[3 * i + 1];
        out[4 * i + 2] = rgb[3 * i + 2 - first];
        out[4 * i + 3] = 255;
    }
}

void luma_scalar(const uint8_t* rgb, uint8_t* out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
        out[i] = weighted(kLuma, rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], kLumaOffset, kLumaShift);
}

// begin and end are even pixel columns; row and next are the two source rows.
void chroma_scalar(const uint8_t* row, const uint8_t* next, uint8_t* out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 2) {
        std::int32_t sum[3];
        for (int64_t c = 0; c < 3; ++c)
            sum[c] = row[3 * i + c] + row[3 * i + 3 + c] + next[3 * i + c] + next[3 * i + 3 + c];
        out[i] = weighted(kCb, sum[0], sum[1], sum[2], kChromaOffset, kChromaShift);
        out[i + 1] = weighted(kCr, sum[0], sum[1], sum[2], kChromaOffset, kChromaShift);
    }
}

#if SHS_HAS_SSSE3_CODE

SHS_SSSE3 __m128i load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
SHS_SSSE3 void store(uint8_t* p, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x); }

// 12 bytes of four pixels, from byte `skip` of the register, to four lanes of three bytes and a zero.
SHS_SSSE3 __m128i four_lanes_mask(int skip, bool blue_first) {
    alignas(16) std::int8_t bytes[16];
    for (int i = 0; i < 16; ++i) {
        const int channel = i % 4;
        bytes[i] = static_cast<std::int8_t>(channel == 3 ? -1 : skip + i / 4 * 3 + (blue_first ? 2 - channel : channel));
    }
    return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

// 16 pixels as four registers of four lanes. The last load starts 4 bytes early, so nothing past the pixels is read.
struct SixteenPixels {
    __m128i quads[4];
};
SHS_SSSE3 SixteenPixels spread(const uint8_t* rgb, __m128i mask, __m128i last_mask) {
    return {{_mm_shuffle_epi8(load(rgb), mask), _mm_shuffle_epi8(load(rgb + 12), mask),
             _mm_shuffle_epi8(load(rgb + 24), mask), _mm_shuffle_epi8(load(rgb + 32), last_mask)}};
}

SHS_SSSE3 int64_t four_channel_ssse3(const uint8_t* rgb, uint8_t* out, int64_t width, bool blue_first) {
    const __m128i mask = four_lanes_mask(0, blue_first), last_mask = four_lanes_mask(4, blue_first);
    const __m128i alpha = _mm_set1_epi32(static_cast<int>(0xFF000000u));
    int64_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const SixteenPixels pixels = spread(rgb + 3 * i, mask, last_mask);
        for (int quad = 0; quad < 4; ++quad) store(out + 4 * i + 16 * quad, _mm_or_si128(pixels.quads[quad], alpha));
    }
    return i;
}

SHS_SSSE3 __m128i pair_of(const Factors& f) {
    return _mm_setr_epi16(f.red, f.green, f.blue, 0, f.red, f.green, f.blue, 0);
}

SHS_SSSE3 __m128i bytes_from_int32(const __m128i* four) {
    return _mm_packus_epi16(_mm_packs_epi32(four[0], four[1]), _mm_packs_epi32(four[2], four[3]));
}

SHS_SSSE3 int64_t luma_ssse3(const uint8_t* rgb, uint8_t* out, int64_t width) {
    const __m128i mask = four_lanes_mask(0, false), last_mask = four_lanes_mask(4, false);
    const __m128i factors = pair_of(kLuma), offset = _mm_set1_epi32(kLumaOffset), zero = _mm_setzero_si128();
    int64_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const SixteenPixels pixels = spread(rgb + 3 * i, mask, last_mask);
        __m128i sums[4];
        for (int quad = 0; quad < 4; ++quad) {
            const __m128i low = _mm_madd_epi16(_mm_unpacklo_epi8(pixels.quads[quad], zero), factors);
            const __m128i high = _mm_madd_epi16(_mm_unpackhi_epi8(pixels.quads[quad], zero), factors);
            sums[quad] = _mm_srai_epi32(_mm_add_epi32(_mm_hadd_epi32(low, high), offset), kLumaShift);
        }
        store(out + i, bytes_from_int32(sums));
    }
    return i;
}

SHS_SSSE3 int64_t chroma_ssse3(const uint8_t* row, const uint8_t* next, uint8_t* out, int64_t width) {
    const __m128i mask = four_lanes_mask(0, false), last_mask = four_lanes_mask(4, false);
    const __m128i cb = pair_of(kCb), cr = pair_of(kCr), offset = _mm_set1_epi32(kChromaOffset);
    const __m128i zero = _mm_setzero_si128();
    int64_t i = 0;
    for (; i + 16 <= width; i += 16) {
        const SixteenPixels above = spread(row + 3 * i, mask, last_mask);
        const SixteenPixels below = spread(next + 3 * i, mask, last_mask);
        __m128i pairs[4];
        for (int quad = 0; quad < 4; ++quad) {
            // Columns 0 and 1 in `left`, 2 and 3 in `right`, already summed over the two rows.
            const __m128i left = _mm_add_epi16(_mm_unpacklo_epi8(above.quads[quad], zero),
                                               _mm_unpacklo_epi8(below.quads[quad], zero));
            const __m128i right = _mm_add_epi16(_mm_unpackhi_epi8(above.quads[quad], zero),
                                                _mm_unpackhi_epi8(below.quads[quad], zero));
            const __m128i sum = _mm_add_epi16(_mm_unpacklo_epi64(left, right), _mm_unpackhi_epi64(left, right));
            // hadd gives Cb Cb Cr Cr of the two pairs of columns; the shuffle makes it Cb Cr Cb Cr.
            const __m128i both = _mm_hadd_epi32(_mm_madd_epi16(sum, cb), _mm_madd_epi16(sum, cr));
            pairs[quad] = _mm_srai_epi32(_mm_add_epi32(_mm_shuffle_epi32(both, _MM_SHUFFLE(3, 1, 2, 0)), offset),
                                         kChromaShift);
        }
        store(out + i, bytes_from_int32(pairs));
    }
    return i;
}

#endif

void four_channel_row(const uint8_t* rgb, uint8_t* out, int64_t width, bool blue_first, bool vectorised) {
    int64_t done = 0;
#if SHS_HAS_SSSE3_CODE
    if (vectorised) done = four_channel_ssse3(rgb, out, width, blue_first);
#else
    (void)vectorised;
#endif
    four_channel_scalar(rgb, out, done, width, blue_first);
}

void luma_row(const uint8_t* rgb, uint8_t* out, int64_t width, bool vectorised) {
    int64_t done = 0;
#if SHS_HAS_SSSE3_CODE
    if (vectorised) done = luma_ssse3(rgb, out, width);
#else
    (void)vectorised;
#endif
    luma_scalar(rgb, out, done, width);
}

void chroma_row(const uint8_t* row, const uint8_t* next, uint8_t* out, int64_t width, bool vectorised) {
    int64_t done = 0;
#if SHS_HAS_SSSE3_CODE
    if (vectorised) done = chroma_ssse3(row, next, out, width);
#else
    (void)vectorised;
#endif
    chroma_scalar(row, next, out, done, width);
}

}  // namespace

void pack_pixels(const PackPixels& p) {
    const bool vectorised = p.vectorised && cpu_has_ssse3();
    const bool bottom_up = p.origin == SHS_ORIGIN_BOTTOM_LEFT;
    for (int64_t y = 0; y < p.height; ++y) {
        const uint8_t* rgb = p.rgb + y * p.rgb_stride;
        uint8_t* out = p.out + (bottom_up ? p.height - 1 - y : y) * p.stride;
        switch (p.format) {
            case SHS_PIXEL_RGBA8: four_channel_row(rgb, out, p.width, false, vectorised); break;
            case SHS_PIXEL_BGRA8: four_channel_row(rgb, out, p.width, true, vectorised); break;
            case SHS_PIXEL_RGB8: std::memcpy(out, rgb, static_cast<std::size_t>(3 * p.width)); break;
            case SHS_PIXEL_NV12: {
                luma_row(rgb, out, p.width, vectorised);
                if (y % 2) break;
                const int64_t half = y / 2, place = bottom_up ? p.height / 2 - 1 - half : half;
                chroma_row(rgb, rgb + p.rgb_stride, p.out + (p.height + place) * p.stride, p.width, vectorised);
                break;
            }
            default: return;  // the binding refuses other numbers
        }
    }
}

}  // namespace shotstream
