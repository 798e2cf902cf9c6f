// See vertex_kernels.hpp. PELLUCID_VERTEX_TABLE names the table that this compilation makes.
#include "vertex_kernels.hpp"

#include "kernels.hpp"
#include "packs.hpp"

namespace pellucid {
namespace {

inline int popcount(uint64_t a) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_popcountll(a);
#else
    int n = 0;
    for (; a; a &= a - 1) ++n;
    return n;
#endif
}

// P packs of rows for each of C components: at most 12 sums in registers.
template <int P, int C>
inline void product_block(const double* a, const int* cols, int k, const double* s, int lds, const double* bias,
                          double* out, int ld) {
    Pack sum[C][P];
    for (int c = 0; c < C; ++c)
        for (int p = 0; p < P; ++p) sum[c][p] = bias && c == C - 1 ? load(bias + p * W) : all(0.0);
    for (int q = 0; q < k; ++q) {
        const double* column = a + (long long)cols[q] * TILE;
        const double* at = s + cols[q];
        Pack w[P];
        for (int p = 0; p < P; ++p) w[p] = load(column + p * W);
        for (int c = 0; c < C; ++c) {
            const Pack f = all(at[(long long)c * lds]);
            for (int p = 0; p < P; ++p) sum[c][p] += w[p] * f;
        }
    }
    for (int c = 0; c < C; ++c)
        for (int p = 0; p < P; ++p) store(out + (long long)c * ld + p * W, sum[c][p]);
}

template <int C>
inline void product_rows(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds,
                         const double* bias, double* out) {
    const int ld = (rows + TILE - 1) / TILE * TILE;
    for (int r = 0; r < rows; r += 2 * W) {
        const double* a = tiles + (long long)(r / TILE) * n_cols * TILE + r % TILE;
        const double* b = bias ? bias + r : nullptr;
        if (rows - r <= W)
            product_block<1, C>(a, cols, k, s, lds, b, out + r, ld);
        else
            product_block<2, C>(a, cols, k, s, lds, b, out + r, ld);
    }
}

void product(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds, int comps,
             const double* bias, double* out) {
    const int ld = (rows + TILE - 1) / TILE * TILE;
    for (; comps > 6; comps -= 4, s += 4ll * lds, out += 4ll * ld)
        product_rows<4>(tiles, rows, n_cols, cols, k, s, lds, nullptr, out);
    switch (comps) {
        case 2:
            return product_rows<2>(tiles, rows, n_cols, cols, k, s, lds, bias, out);
        case 3:
            return product_rows<3>(tiles, rows, n_cols, cols, k, s, lds, bias, out);
        case 4:
            return product_rows<4>(tiles, rows, n_cols, cols, k, s, lds, bias, out);
        case 5:
            return product_rows<5>(tiles, rows, n_cols, cols, k, s, lds, bias, out);
        default:
            return product_rows<6>(tiles, rows, n_cols, cols, k, s, lds, bias, out);
    }
}

void rank_one(const double* tiles, int n_tiles, int n_cols, int col, const double* delta, int comps, const double* in,
              double* out) {
    const int ld = n_tiles * TILE;
    const double* a = tiles + (long long)col * TILE;
    for (int r = 0; r < ld; r += TILE, a += (long long)n_cols * TILE) {
        Pack w[TILE / W];
        for (int p = 0; p < TILE / W; ++p) w[p] = load(a + p * W);
        for (int c = 0; c < comps; ++c) {
            const Pack f = all(delta[c]);
            const long long at = (long long)c * ld + r;
            for (int p = 0; p < TILE / W; ++p) store(out + at + p * W, load(in + at + p * W) + w[p] * f);
        }
    }
}

void screen(const double* map, int ld, int n, int d, const double* centre, const double* half, const double* t,
            const double* floor, uint64_t* up, uint64_t* open) {
    for (int w = 0; w < (n + 63) / 64; ++w) up[w] = open[w] = 0;
    for (int i = 0; i < n; i += W) {
        Pack middle = load(map + (long long)d * ld + i) - load(t + i), radius = all(0.0);
        for (int a = 0; a < d; ++a) {
            const Pack g = load(map + (long long)a * ld + i);
            middle += g * all(centre[a]);
            radius += larger(g, all(0.0) - g) * all(half[a]);
        }
        const Pack f = load(floor + i);
        const uint64_t above = greater_bits(middle - radius, f), reaches = greater_bits(middle + radius, f);
        up[i / 64] |= above << (i % 64);
        open[i / 64] |= (reaches & ~above) << (i % 64);
    }
}

inline double least(Pack a) {
    double v[W], m;
    store(v, a);
    m = v[0];
    for (int i = 1; i < W; ++i) m = v[i] < m ? v[i] : m;
    return m;
}
inline double most(Pack a) {
    double v[W], m;
    store(v, a);
    m = v[0];
    for (int i = 1; i < W; ++i) m = v[i] > m ? v[i] : m;
    return m;
}

// One order of operations for all: a vertex has the same value whoever asks.
inline Pack value(const double* line, int d, const double* x, int ldx, int v) {
    Pack z = all(line[d]);
    for (int a = 0; a < d; ++a) z += load(x + (long long)a * ldx + v) * all(line[a]);
    return z;
}

void values(const double* line, int d, const double* x, int ldx, double* z, double* lo, double* hi) {
    Pack low = value(line, d, x, ldx, 0), high = low;
    store(z, low);
    for (int v = W; v < ldx; v += W) {
        const Pack p = value(line, d, x, ldx, v);
        store(z + v, p);
        low = smaller(p, low);
        high = larger(p, high);
    }
    *lo = least(low);
    *hi = most(high);
}

template <int D>
inline void extremes_of(const double* lines, int stride, int n, int d, const double* x, int ldx, double* lo,
                        double* hi) {
    if (D) d = D;
    for (int l = 0; l < n; ++l, lines += stride) {
        Pack low = value(lines, d, x, ldx, 0), high = low;
        for (int v = W; v < ldx; v += W) {
            const Pack p = value(lines, d, x, ldx, v);
            low = smaller(p, low);
            high = larger(p, high);
        }
        lo[l] = least(low);
        hi[l] = most(high);
    }
}

void extremes(const double* lines, int stride, int n, int d, const double* x, int ldx, double* lo, double* hi) {
    switch (d) {
        case 3:
            return extremes_of<3>(lines, stride, n, d, x, ldx, lo, hi);
        case 4:
            return extremes_of<4>(lines, stride, n, d, x, ldx, lo, hi);
        case 5:
            return extremes_of<5>(lines, stride, n, d, x, ldx, lo, hi);
        default:
            return extremes_of<0>(lines, stride, n, d, x, ldx, lo, hi);
    }
}

void bounds(const double* x, int ldx, int d, double* lo, double* hi) {
    for (int a = 0; a < d; ++a, x += ldx) {
        Pack low = load(x), high = low;
        for (int v = W; v < ldx; v += W) {
            low = smaller(load(x + v), low);
            high = larger(load(x + v), high);
        }
        lo[a] = least(low);
        hi[a] = most(high);
    }
}

void sums(const double* x, int ldx, int n, int d, double* out) {
    for (int a = 0; a < d; ++a, x += ldx) {
        Pack sum = all(0.0);
        int v = 0;
        for (; v + W <= n; v += W) sum += load(x + v);
        double part[W], s = 0;
        store(part, sum);
        for (int i = 0; i < W; ++i) s += part[i];
        for (; v < n; ++v) s += x[v];
        out[a] = s;
    }
}

int near(uint64_t a, const uint64_t* b, int n, int* out) {
    int k = 0;
#if defined(__AVX2__)
    const __m256i set = _mm256_set1_epi64x((long long)a), one = _mm256_set1_epi64x(-1);
    for (int j = 0; j < n; j += 4) {
        __m256i y = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + j)), set);
        y = _mm256_and_si256(y, _mm256_add_epi64(y, one));  // without its lowest element
        y = _mm256_and_si256(y, _mm256_add_epi64(y, one));
        const __m256i none = _mm256_cmpeq_epi64(y, _mm256_setzero_si256());
        unsigned bits = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(none));
        if (n - j < 4) bits &= (1u << (n - j)) - 1;
        for (; bits; bits &= bits - 1) out[k++] = j + __builtin_ctz(bits);
    }
#else
    for (int j = 0; j < n; ++j) {
        uint64_t y = a ^ b[j];
        y &= y - 1;
        y &= y - 1;
        out[k] = j;
        k += y == 0;
    }
#endif
    return k;
}

int meeting(const uint64_t* a, const uint64_t* b, int n, int words, int least, int* out) {
    int k = 0;
    for (int j = 0; j < n; ++j, b += words) {
        int shared = 0;
        for (int w = 0; w < words; ++w) shared += popcount(a[w] & b[w]);
        out[k] = j;
        k += shared >= least;
    }
    return k;
}

}  // namespace

extern const VertexKernels PELLUCID_VERTEX_TABLE;
const VertexKernels PELLUCID_VERTEX_TABLE = {product, rank_one, screen, values, extremes, bounds, sums, near, meeting};

}  // namespace pellucid
