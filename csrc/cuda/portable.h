// What lets kernel code compile as plain C++ too: qualifiers, narrow floats, and the addressing of a cache.
//
// A kernel is a sequence of phases with a barrier between each two. A phase is a function of (thread, shared memory,
// the thread's own registers), so the host can run phase after phase for all threads and get what the device computes.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "shotstream/cuda_ops.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#define SHS_BOTH __host__ __device__ __forceinline__
#define SHS_UNROLL _Pragma("unroll")
#else
#define SHS_BOTH inline
#define SHS_UNROLL
#endif

namespace shotstream {

struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

SHS_BOTH float float_of_bits(std::uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

SHS_BOTH std::uint32_t bits_of_float(float value) {
    std::uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

SHS_BOTH float widened(float value) { return value; }

SHS_BOTH float widened(BFloat16 value) { return float_of_bits(static_cast<std::uint32_t>(value.bits) << 16); }

SHS_BOTH float widened(Half value) {
#ifdef __CUDA_ARCH__
    return __half2float(__ushort_as_half(value.bits));
#else
    const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
    const std::uint32_t rest = value.bits & 0x7fffu;
    if (rest >= 0x7c00u) return float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    // Exponents differ by 112; multiplying gets the subnormal numbers right as well.
    const float size = float_of_bits(rest << 13) * float_of_bits((127u + 112u) << 23);
    return float_of_bits(sign | bits_of_float(size));
#endif
}

// Round to nearest, ties to even.
template <typename T>
SHS_BOTH T narrowed(float value);

template <>
SHS_BOTH float narrowed<float>(float value) {
    return value;
}

template <>
SHS_BOTH BFloat16 narrowed<BFloat16>(float value) {
    const std::uint32_t bits = bits_of_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
    return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

template <>
SHS_BOTH Half narrowed<Half>(float value) {
#ifdef __CUDA_ARCH__
    return {__half_as_ushort(__float2half_rn(value))};
#else
    const std::uint32_t bits = bits_of_float(value);
    const std::uint32_t sign = bits >> 16 & 0x8000u;
    const std::uint32_t size = bits & 0x7fffffffu;
    std::uint32_t half;
    if (size > 0x7f800000u) {
        half = 0x7e00u;
    } else if (size >= 0x477ff000u) {  // 65520 and more round to infinity
        half = 0x7c00u;
    } else if (size < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the rounding to the sum
        half = bits_of_float(float_of_bits(size) + 0.5f) - 0x3f000000u;
    } else {
        half = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
    }
    return {static_cast<std::uint16_t>(sign | half)};
#endif
}

// A value as it comes back from memory of type T.
template <typename T>
SHS_BOTH float rounded(float value) {
    return widened(narrowed<T>(value));
}

// Rows of a layer's cache that one call writes and reads.
template <typename T>
struct CacheRows {
    T* keys;  // null: there is no cache, or it does not fit the state
    T* values;
    std::int64_t write, context, local_start, local;
    bool split;
};

template <typename T>
SHS_BOTH CacheRows<T> cache_rows(const ShsCachePlace& place, std::int64_t num_tokens, std::int64_t width) {
    const std::int64_t keys = place.descriptor[0], values = place.descriptor[1];
    CacheRows<T> rows{};
    rows.write = place.state[0];
    rows.context = place.state[1];
    rows.local_start = place.state[2];
    rows.local = place.state[3];
    rows.split = place.state[4] != 0;
    const std::int64_t row_bytes = width * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t num_rows = (values - keys) / row_bytes;
    const bool fits = keys > 0 && values > keys && keys % static_cast<std::int64_t>(sizeof(T)) == 0 &&
                      (values - keys) % row_bytes == 0 && rows.write >= 0 && rows.write + num_tokens <= num_rows &&
                      rows.context >= 0 && rows.local_start >= rows.context && rows.local >= 0 &&
                      rows.local_start + rows.local <= num_rows;
    if (fits) {
        rows.keys = reinterpret_cast<T*>(static_cast<std::uintptr_t>(keys));
        rows.values = reinterpret_cast<T*>(static_cast<std::uintptr_t>(values));
    }
    return rows;
}

}  // namespace shotstream
