// Which kernels this processor gets. Those above baseline exist only where CMake could compile them (x86-64, GCC or
// Clang). AVX-512 was tried and gave nothing on Zen 4, where two halves share the adders.
#include <cstdlib>
#include <cstring>

#include "kernels.hpp"

namespace pellucid {

extern const Kernels kernels_baseline;
#ifdef PELLUCID_HAS_V3
extern const Kernels kernels_v3;
#endif

static const Kernels& choose() {
#ifdef PELLUCID_HAS_V3
    const char* wish = std::getenv("PELLUCID_CPU");
    if (wish && !std::strcmp(wish, "baseline")) return kernels_baseline;
    __builtin_cpu_init();
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
