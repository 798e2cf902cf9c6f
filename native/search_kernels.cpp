// See search_kernels.hpp. PELLUCID_SEARCH_TABLE names the table that this compilation makes.
#include "search_kernels.hpp"

#include <math.h>
#include <string.h>

#include "lp.hpp"

namespace pellucid {
namespace {

constexpr int TILE_ROWS = 16;  // TILE of kernels.hpp

void evaluate(const double* map, int ld, int n, int d, const double* x, double* z) {
    for (int l = 0; l < n; l += PACK) {
        Pack sum = load(map + (long long)d * ld + l);
        for (int i = 0; i < d; ++i) sum += load(map + (long long)i * ld + l) * all(x[i]);
        store(z + l, sum);
    }
}

void extremes(const double* const* z, int count, int n, double* lo, double* hi) {
    for (int l = 0; l < n; l += PACK) {
        Pack least = all(INFINITY), most = all(-INFINITY);
        for (int w = 0; w < count; ++w) {
            const Pack v = load(z[w] + l);
            least = smaller(v, least);
            most = larger(v, most);
        }
        store(lo + l, least);
        store(hi + l, most);
    }
}

void pick(const double* map, int ld, int d, const int* row, const double* t, int n, double* lines, int ldl,
          double* norm, double* reach) {
    for (int l = 0; l < ldl; ++l) norm[l] = reach[l] = 0;
    for (int c = 0; c < d; ++c) {
        const double* from = map + (long long)c * ld;
        double* to = lines + (long long)c * ldl;
        for (int l = 0; l < n; ++l) {
            const double g = to[l] = from[row[l]];
            norm[l] += g * g;
            reach[l] += fabs(g);
        }
        for (int l = n; l < ldl; ++l) to[l] = 0;
    }
    double* h = lines + (long long)d * ldl;
    for (int l = 0; l < n; ++l) h[l] = map[(long long)d * ld + row[l]] - t[l];
    for (int l = n; l < ldl; ++l) h[l] = 0;
    double inverse[64];
    for (int from = 0; from < n; from += 64) {
        const int to = from + 64 < n ? from + 64 : n;
        for (int l = from; l < to; ++l) {
            norm[l] = sqrt(norm[l]);
            inverse[l - from] = norm[l] > 0 ? 1 / norm[l] : 1;
            reach[l] *= inverse[l - from];
        }
        for (int c = 0; c <= d; ++c)
            for (int l = from; l < to; ++l) lines[(long long)c * ldl + l] *= inverse[l - from];
    }
}

// C components for one tile of rows at a time: 4 C sums in registers.
template <int C, int V>
inline void product_block(const double* a, const int* cols, int k, const double* s, int lds, const double* bias,
                          double* out, int ld) {
    Pack sum[C][V];
    for (int c = 0; c < C; ++c)
        for (int v = 0; v < V; ++v) sum[c][v] = bias && c == C - 1 ? load(bias + v * PACK) : all(0.0);
    for (int q = 0; q < k; ++q) {
        const double* column = a + (long long)cols[q] * TILE_ROWS;
        const double* at = s + cols[q];
        for (int c = 0; c < C; ++c) {
            const Pack f = all(at[(long long)c * lds]);
            for (int v = 0; v < V; ++v) sum[c][v] += load(column + v * PACK) * f;
        }
    }
    for (int c = 0; c < C; ++c)
        for (int v = 0; v < V; ++v) store(out + (long long)c * ld + v * PACK, sum[c][v]);
}

template <int V>
inline void product_tile(const double* a, const int* cols, int k, const double* s, int lds, int comps,
                         const double* bias, double* out, int ld) {
    int c = 0;
    for (; c + 3 < comps; c += 3)
        product_block<3, V>(a, cols, k, s + (long long)c * lds, lds, nullptr, out + (long long)c * ld, ld);
    s += (long long)c * lds;
    out += (long long)c * ld;
    if (comps - c == 3)
        product_block<3, V>(a, cols, k, s, lds, bias, out, ld);
    else if (comps - c == 2)
        product_block<2, V>(a, cols, k, s, lds, bias, out, ld);
    else
        product_block<1, V>(a, cols, k, s, lds, bias, out, ld);
}

void product(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds, int comps,
             const double* bias, double* out) {
    const int ld = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (int r = 0; r < rows; r += TILE_ROWS) {
        const double* a = tiles + (long long)(r / TILE_ROWS) * n_cols * TILE_ROWS;
        const int left = rows - r;
        if (left <= PACK)
            product_tile<1>(a, cols, k, s, lds, comps, bias + r, out + r, ld);
        else if (left <= 2 * PACK)
            product_tile<2>(a, cols, k, s, lds, comps, bias + r, out + r, ld);
        else
            product_tile<4>(a, cols, k, s, lds, comps, bias + r, out + r, ld);
    }
}

void rank_one(const double* tiles, int rows, int n_cols, int col, const double* delta, int comps, const double* in,
              double* out) {
    const int ld = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (int r = 0; r < rows; r += PACK) {
        const double* a = tiles + ((long long)(r / TILE_ROWS) * n_cols + col) * TILE_ROWS + r % TILE_ROWS;
        const Pack w = load(a);
        for (int c = 0; c < comps; ++c) {
            const long long at = (long long)c * ld + r;
            store(out + at, load(in + at) + w * all(delta[c]));
        }
    }
}

}  // namespace

extern const SearchKernels PELLUCID_SEARCH_TABLE;
const SearchKernels PELLUCID_SEARCH_TABLE = {lp::maximise, lp::to_vertex, lp::refactor, lp::slacks, lp::ray,
                                             evaluate,     extremes,      pick,         product,    rank_one};

}  // namespace pellucid
