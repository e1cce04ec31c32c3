// Which vector instructions the running CPU has. Code for them is compiled beside the scalar code and picked at run
// time, so one binary serves every x86-64; other architectures take the scalar code. Both give the same bytes.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SHS_HAS_SSSE3_CODE 1
#define SHS_SSSE3 __attribute__((target("ssse3")))
#include <tmmintrin.h>
#else
#define SHS_HAS_SSSE3_CODE 0
#endif

namespace shotstream {

inline bool cpu_has_ssse3() {
#if SHS_HAS_SSSE3_CODE
    static const bool found = __builtin_cpu_supports("ssse3") != 0;
    return found;
#else
    return false;
#endif
}

}  // namespace shotstream
