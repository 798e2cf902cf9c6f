// The hot loops of the search engine, as a table of functions compiled once for each instruction set (see kernels.hpp;
// the same rules hold: plain pointers only, no templates of the standard library).
//
// Maps in d dimensions, z = g.x + h for many rows, are kept as d + 1 arrays of `ld` doubles: g_1, ..., g_d, h.
#pragma once
#include <cstdint>

namespace pellucid {

constexpr int PACK = 4;  // doubles handled together; vectors over rows or edges are padded to a multiple of it

inline int packed(int n) { return (n + PACK - 1) / PACK * PACK; }

// A polytope { x : a x <= b, -box <= x_i <= box } as the simplex sees it. Halfspaces are unit vectors (or nearly), kept
// by component: a[i * ld + row]. Halfspaces up to the next multiple of PACK exist and are zero.
//
// Numbers of constraints: 2 i for x_i <= box, 2 i + 1 for -x_i <= box, 2 d + row for a row; negative for an artificial
// one, which a basis may leave in either direction and never enters again.
struct Halfspaces {
    int d, dp;  // dp = packed(d)
    int n, ld;
    const double* a;
    const double* b;
    double box;  // infinite: no box
};

// A vertex with its basis, in one block of doubles: x (dp); edges[i * dp + k], component i of the edge that leaves the
// k-th tight constraint and keeps the others tight, a_k . edge_k = -1; the numbers of the tight constraints; how many
// updates the edges have gone through since they were made from the rows.
struct Vertex {
    static int size(int d) { return packed(d) * (d + 1) + (packed(d) + 2) / 2; }
    static double* x(double* v) { return v; }
    static double* edges(double* v, int dp) { return v + dp; }
    static int* ids(double* v, int d, int dp) { return reinterpret_cast<int*>(v + dp * (d + 1)); }
    static int& updates(double* v, int d, int dp) { return ids(v, d, dp)[dp]; }
    static const double* x(const double* v) { return v; }
    static const double* edges(const double* v, int dp) { return v + dp; }
    static const int* ids(const double* v, int d, int dp) { return reinterpret_cast<const int*>(v + dp * (d + 1)); }
};

enum class LpStatus { optimal, stopped, unbounded, stuck };

struct LpResult {
    LpStatus status;
    int pivots;        // 0: `work` was not written, the start is the answer
    double value;      // c.x there
    double doubt = 0;  // how much larger it may be, where rounding hides which way is up
};

struct SearchKernels {
    // Moves from the vertex `start` to one with a larger c.x until that exceeds `stop` or is largest. c: a vector of
    // length about 1 (dp, padded with zeros). scratch: lp_scratch(rows) doubles. work: another vertex. seen (or null):
    // seen[number] is set for the constraints that are tight where no other is near: each of them has a facet.
    LpResult (*maximise)(const Halfspaces& rows, const double* start, double* work, const double* c, double stop,
                         double* scratch, unsigned char* seen);

    // From a feasible point x to a vertex where c.x is no smaller: artificial constraints through x are left one after
    // the other. False where the set is unbounded. The point's slacks may be 0.
    bool (*to_vertex)(const Halfspaces& rows, const double* x, const double* c, double* vertex, double* scratch);

    // Makes x and the edges anew from the numbers of the tight constraints; false when they are dependent.
    bool (*refactor)(const Halfspaces& rows, double* vertex, double* scratch);

    // slack[row] = b - a x; returns nothing for the box.
    void (*slacks)(const Halfspaces& rows, const double* x, double* slack);

    // The longest step from x along p (both padded with zeros) inside the polytope, the constraint that ends it (-1:
    // none) and how long the step could be without that one. `slack` are those of x; the row number `skip` is not met.
    double (*ray)(const Halfspaces& rows, const double* x, const double* slack, const double* p, int skip,
                  double* scratch, int* hit, double* next);

    // z[l] = map[d][l] + sum of map[i][l] x[i], for n lines (rounded up to PACK).
    void (*evaluate)(const double* map, int ld, int n, int d, const double* x, double* z);

    // Least and largest of several vectors of n (rounded up to PACK) values.
    void (*extremes)(const double* const* z, int count, int n, double* lo, double* hi);

    // Picks rows of a map: lines[c * ldl + l] = map[c * ld + row[l]] / |g|, with t[l] taken from h first; norm[l] =
    // |g|, reach[l] = the largest |g.x| / |g| in the box [-1, 1]^d. A row whose g is zero is left as it is, with norm
    // 0.
    void (*pick)(const double* map, int ld, int d, const int* row, const double* t, int n, double* lines, int ldl,
                 double* norm, double* reach);

    // out = A s + a over the k columns `cols`, for `comps` components: s[c * lds + col], out[c * ld + i]; the last one
    // gets the bias. `tiles` as in kernels.hpp.
    void (*product)(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds,
                    int comps, const double* bias, double* out);

    // out = in + A[:, col] (outer) delta; out may be in.
    void (*rank_one)(const double* tiles, int rows, int n_cols, int col, const double* delta, int comps,
                     const double* in, double* out);
};

// Doubles that the simplex needs beside the vertices.
inline int64_t lp_scratch(int d, int rows) {
    return 2 * (int64_t)packed(rows) + 8 * packed(d) + 2 * (int64_t)d * packed(d) + 64;
}

const SearchKernels& search_kernels();

}  // namespace pellucid
