// Which kernels this processor gets. The ones above baseline exist only where CMake could compile them (x86-64, GCC or
// Clang).
#include <cstdlib>
#include <cstring>

#include "kernels.hpp"

namespace pellucid {

extern const Kernels kernels_baseline;
#ifdef PELLUCID_HAS_V3
extern const Kernels kernels_v3;
#endif
#ifdef PELLUCID_HAS_V4
extern const Kernels kernels_v4;
#endif

static const Kernels& choose() {
    const char* wish = std::getenv("PELLUCID_CPU");
    if (wish && !std::strcmp(wish, "baseline")) return kernels_baseline;
#if defined(PELLUCID_HAS_V3) || defined(PELLUCID_HAS_V4)
    __builtin_cpu_init();
#endif
#ifdef PELLUCID_HAS_V4
    const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("fma");
    if (v4 && !(wish && !std::strcmp(wish, "v3"))) return kernels_v4;
#endif
#ifdef PELLUCID_HAS_V3
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return kernels_v3;
#endif
    return kernels_baseline;
}

const Kernels& kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

}  // namespace pellucid
