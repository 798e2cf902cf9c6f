// The hot loops of the vertex engine, as a table of functions compiled once for each instruction set (see kernels.hpp;
// the same rules hold: plain pointers only, no templates of the standard library).
//
// Maps in d dimensions, z = g.x + h for many rows, are kept as d + 1 arrays of `ld` doubles: g_1, ..., g_d, h. Vertices
// are kept as d arrays of `ldx` doubles, ldx = their number rounded up to LANES; the padding repeats a vertex. A line
// is d + 1 doubles in a row: g, h.
#pragma once
#include <cstdint>

namespace pellucid {

constexpr int LANES = 4;
constexpr int VOLUME_SCRATCH = 64 * 8 * 5;

struct VertexKernels {
    // out = A s + a over the k columns `cols`, for `comps` components: s[c * lds + col], out[c * ld + i]; the last one
    // gets the bias. `tiles` as in kernels.hpp.
    void (*product)(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds,
                    int comps, const double* bias, double* out);

    // out = in + A[:, col] (outer) delta, for `comps` components; out may be in.
    void (*rank_one)(const double* tiles, int n_tiles, int n_cols, int col, const double* delta, int comps,
                     const double* in, double* out);

    // Signs of z - t on the box |x - centre| <= half: bit i of `up` is set where all of z exceeds t + floor, bit i of
    // `open` where that is so for some of it only. n is a multiple of TILE; both have (n + 63) / 64 words.
    void (*screen)(const double* map, int ld, int n, int d, const double* centre, const double* half, const double* t,
                   const double* floor, uint64_t* up, uint64_t* open);

    // z at the vertices (padding included) and its extremes.
    void (*values)(const double* line, int d, const double* x, int ldx, double* z, double* lo, double* hi);

    // The extremes of several lines, `stride` doubles apart.
    void (*extremes)(const double* lines, int stride, int n, int d, const double* x, int ldx, double* lo, double* hi);

    // The least box around the vertices.
    void (*bounds)(const double* x, int ldx, int d, double* lo, double* hi);

    // Sum over the first n vertices, for each coordinate.
    void (*sums)(const double* x, int ldx, int n, int d, double* out);

    // The sets among b[0 .. n) that differ from `a` in at most two elements; returns how many. Room for LANES more
    // numbers behind them is needed, and b is readable up to a multiple of LANES.
    int (*near)(uint64_t a, const uint64_t* b, int n, int* out);

    // The sets of several words among b that share at least `least` elements with a.
    int (*meeting)(const uint64_t* a, const uint64_t* b, int n, int words, int least, int* out);

    // The volume of a simple polytope of 3 to 6 dimensions with at most 64 places for facets (volume.hpp), or -1 where
    // it has too many vertices. scratch: VOLUME_SCRATCH doubles.
    double (*volume)(const double* x, int ldx, int n, int d, const uint64_t* tight, uint64_t facets, double* scratch);
};

const VertexKernels& vertex_kernels();

}  // namespace pellucid
