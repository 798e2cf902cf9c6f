// The hot loops, as a table of functions: kernels.cpp is compiled once for each instruction set, and the table of the
// best one that the processor has is chosen at run time. Only plain pointers cross this border, and kernels.cpp uses no
// templates of the standard library: the linker could otherwise keep the AVX copy of one for the baseline code too.
//
// Affine maps on the plane, z = g_x x + g_y y + h for many rows, are kept as three arrays ("a map"): g_x, g_y, h, each
// of `ld` doubles, ld = rows rounded up to TILE. Rows of padding are finite.
#pragma once
#include <cstdint>

namespace pellucid {

constexpr int TILE = 16;  // rows of a dense matrix that are multiplied together

inline int padded(int n) { return (n + TILE - 1) / TILE * TILE; }

struct Kernels {
    const char* name;

    // out = A s + a over the k columns `cols`: s is a map of leading dimension lds whose rows are the columns of A.
    // `tiles` is A laid out as [tile][column][TILE]; the first `rows` rows are made, the others may be anything.
    void (*product)(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds,
                    const double* bias, double* out);

    // The numbers of the bits set, ascending; returns how many. There is room for 8 more numbers behind them.
    int (*set_bits)(const uint64_t* bits, int words, int* out);

    // out = in + A[:, col] (outer) d, for the three arrays; out may be in.
    void (*rank_one)(const double* tiles, int n_tiles, int n_cols, int col, const double* d, const double* in,
                     double* out);

    // Signs of z - t on a polygon: bit i of `up` is set when the largest z exceeds t + floor, bit i of `open` when
    // moreover the smallest lies below t - floor. n is a multiple of TILE; both have (n + 63) / 64 words.
    void (*signs)(const double* map, int ld, int n, const double* t, const double* floor, const double* x,
                  const double* y, int nv, uint64_t* up, uint64_t* open);

    // Least and largest value of each of n lines (rounded up to TILE) on a polygon.
    void (*extremes)(const double* gx, const double* gy, const double* h, int n, const double* x, const double* y,
                     int nv, double* lo, double* hi);

    // out[v * n + i] = z_i at vertex v.
    void (*values)(const double* gx, const double* gy, const double* h, int n, const double* x, const double* y, int nv,
                   double* out);

    // As `product`, for A by sparse rows; s has 4 doubles (g_x, g_y, h, 0) for every column.
    void (*sparse_product)(const int64_t* row_ptr, const int* row_col, const double* row_val, int rows, int ld,
                           const double* s, const double* bias, double* out);

    // out = |A| w over the k columns `cols`, w >= 0.
    void (*magnitude)(const double* tiles, int n_tiles, int n_cols, const int* cols, int k, const double* w,
                      double* out);
};

// The best table for this processor; PELLUCID_CPU=baseline in the environment asks for the plain one.
const Kernels& kernels();

}  // namespace pellucid
