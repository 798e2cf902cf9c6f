// The search kernels for the instruction set that kernels() has chosen.
#include <cstring>

#include "kernels.hpp"
#include "search_kernels.hpp"

namespace pellucid {

extern const SearchKernels search_kernels_baseline;
#ifdef PELLUCID_HAS_V3
extern const SearchKernels search_kernels_v3;
#endif

const SearchKernels& search_kernels() {
#ifdef PELLUCID_HAS_V3
    static const SearchKernels& chosen =
        std::strcmp(kernels().name, "baseline") ? search_kernels_v3 : search_kernels_baseline;
    return chosen;
#else
    return search_kernels_baseline;
#endif
}

}  // namespace pellucid
