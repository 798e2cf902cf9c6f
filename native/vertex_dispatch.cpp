// Which kernels of the vertex engine this processor gets: the same level as dispatch.cpp chose.
#include <string_view>

#include "kernels.hpp"
#include "vertex_kernels.hpp"

namespace pellucid {

extern const VertexKernels vertex_kernels_baseline;
#ifdef PELLUCID_HAS_V3
extern const VertexKernels vertex_kernels_v3;
#endif

const VertexKernels& vertex_kernels() {
#ifdef PELLUCID_HAS_V3
    static const bool is_v3 = std::string_view(kernels().name).find("v3") != std::string_view::npos;
    if (is_v3) return vertex_kernels_v3;
#endif
    return vertex_kernels_baseline;
}

}  // namespace pellucid
