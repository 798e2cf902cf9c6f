// See kernels.hpp. PELLUCID_TABLE names the table that this compilation makes.
#include "kernels.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

namespace pellucid {
namespace {

// ---- packs of doubles
// -------------------------------------------------------------------------------------------------
#if defined(__AVX512F__)
constexpr int W = 8;
#elif defined(__AVX__)
constexpr int W = 4;
#else
constexpr int W = 2;
#endif

#if defined(__GNUC__) || defined(__clang__)
typedef double Pack __attribute__((vector_size(W * sizeof(double)), aligned(8), may_alias));
inline Pack load(const double* p) { return *reinterpret_cast<const Pack*>(p); }
inline void store(double* p, Pack a) { *reinterpret_cast<Pack*>(p) = a; }
inline Pack all(double a) { return a - Pack{}; }
inline Pack smaller(Pack a, Pack b) { return a < b ? a : b; }
inline Pack larger(Pack a, Pack b) { return a > b ? a : b; }
#else
struct Pack {
    double v[W];
};
inline Pack load(const double* p) {
    Pack r;
    for (int i = 0; i < W; ++i) r.v[i] = p[i];
    return r;
}
inline void store(double* p, Pack a) {
    for (int i = 0; i < W; ++i) p[i] = a.v[i];
}
inline Pack all(double a) {
    Pack r;
    for (int i = 0; i < W; ++i) r.v[i] = a;
    return r;
}
#define PELLUCID_OP(name, expression)            \
    inline Pack name(Pack a, Pack b) {           \
        Pack r;                                  \
        for (int i = 0; i < W; ++i) {            \
            const double p = a.v[i], q = b.v[i]; \
            r.v[i] = expression;                 \
        }                                        \
        return r;                                \
    }
PELLUCID_OP(operator+, p + q)
PELLUCID_OP(operator-, p - q)
PELLUCID_OP(operator*, p* q)
PELLUCID_OP(smaller, p < q ? p : q)
PELLUCID_OP(larger, p > q ? p : q)
inline Pack& operator+=(Pack& a, Pack b) { return a = a + b; }
#endif

// Bit i: a[i] > b[i].
inline unsigned greater_bits(Pack a, Pack b) {
#if defined(__AVX512F__)
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ);
#elif defined(__AVX__) && (defined(__GNUC__) || defined(__clang__))
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_GT_OQ));
#elif defined(__SSE2__) && (defined(__GNUC__) || defined(__clang__))
    return (unsigned)_mm_movemask_pd(_mm_cmpgt_pd((__m128d)a, (__m128d)b));
#else
    double p[W], q[W];
    store(p, a);
    store(q, b);
    unsigned bits = 0;
    for (int i = 0; i < W; ++i) bits |= (unsigned)(p[i] > q[i]) << i;
    return bits;
#endif
}

// ---- kernels
// ---------------------------------------------------------------------------------------------------------- Rows a
// pass holds in registers: ROWS / W packs for each of three sums (12 of 16 AVX registers).
constexpr int ROWS = W == 2 ? 8 : 16;
constexpr int P = ROWS / W;

void product(const double* tiles, int n_tiles, int n_cols, const int* cols, const double* s, int k, const double* bias,
             double* out) {
    const int ld = n_tiles * TILE;
    for (int r = 0; r < ld; r += ROWS) {
        const double* a = tiles + (long long)(r / TILE) * n_cols * TILE + r % TILE;
        Pack x[P], y[P], h[P];
        for (int p = 0; p < P; ++p) {
            x[p] = y[p] = all(0.0);
            h[p] = load(bias + r + p * W);
        }
        for (int q = 0; q < k; ++q) {
            const double* column = a + (long long)cols[q] * TILE;
            const Pack sx = all(s[4 * q]), sy = all(s[4 * q + 1]), sh = all(s[4 * q + 2]);
            for (int p = 0; p < P; ++p) {
                const Pack w = load(column + p * W);
                x[p] += w * sx;
                y[p] += w * sy;
                h[p] += w * sh;
            }
        }
        for (int p = 0; p < P; ++p) {
            store(out + r + p * W, x[p]);
            store(out + ld + r + p * W, y[p]);
            store(out + 2 * ld + r + p * W, h[p]);
        }
    }
}

void rank_one(const double* tiles, int n_tiles, int n_cols, int col, const double* d, const double* in, double* out) {
    const int ld = n_tiles * TILE;
    const Pack dx = all(d[0]), dy = all(d[1]), dh = all(d[2]);
    const double* a = tiles + (long long)col * TILE;
    for (int r = 0; r < ld; r += TILE, a += (long long)n_cols * TILE) {
        for (int p = 0; p < TILE; p += W) {
            const Pack w = load(a + p);
            const int i = r + p;
            store(out + i, load(in + i) + w * dx);
            store(out + ld + i, load(in + ld + i) + w * dy);
            store(out + 2 * ld + i, load(in + 2 * ld + i) + w * dh);
        }
    }
}

void signs(const double* map, int ld, int n, const double* t, const double* floor, const double* x, const double* y,
           int nv, uint64_t* up, uint64_t* open) {
    for (int w = 0; w < (n + 63) / 64; ++w) up[w] = open[w] = 0;
    for (int i = 0; i < n; i += W) {
        const Pack gx = load(map + i), gy = load(map + ld + i), h = load(map + 2 * ld + i);
        Pack lo = gx * all(x[0]) + (gy * all(y[0]) + h), hi = lo;
        for (int v = 1; v < nv; ++v) {
            const Pack z = gx * all(x[v]) + (gy * all(y[v]) + h);
            lo = smaller(z, lo);
            hi = larger(z, hi);
        }
        const Pack f = load(floor + i), level = load(t + i);
        const uint64_t above = greater_bits(hi - level, f), below = greater_bits(level - lo, f);
        up[i / 64] |= above << (i % 64);
        open[i / 64] |= (above & below) << (i % 64);
    }
}

void extremes(const double* gx, const double* gy, const double* h, int n, const double* x, const double* y, int nv,
              double* lo, double* hi) {
    for (int i = 0; i < n; i += W) {
        const Pack a = load(gx + i), b = load(gy + i), c = load(h + i);
        Pack least = a * all(x[0]) + (b * all(y[0]) + c), most = least;
        for (int v = 1; v < nv; ++v) {
            const Pack z = a * all(x[v]) + (b * all(y[v]) + c);
            least = smaller(z, least);
            most = larger(z, most);
        }
        store(lo + i, least);
        store(hi + i, most);
    }
}

void values(const double* gx, const double* gy, const double* h, int n, const double* x, const double* y, int nv,
            double* out) {
    for (int v = 0; v < nv; ++v) {
        for (int i = 0; i < n; i += W) {
            const Pack z = load(gx + i) * all(x[v]) + (load(gy + i) * all(y[v]) + load(h + i));
            store(out + (long long)v * n + i, z);
        }
    }
}

void sparse_product(const int64_t* row_ptr, const int* row_col, const double* row_val, int rows, int ld,
                    const double* s, const double* bias, double* out) {
    for (int i = 0; i < rows; ++i) {
        double z[4] = {0, 0, bias[i], 0};
        for (int64_t q = row_ptr[i]; q < row_ptr[i + 1]; ++q) {
            const double* column = s + 4ll * row_col[q];
            for (int c = 0; c < 4; ++c) z[c] += row_val[q] * column[c];
        }
        for (int c = 0; c < 3; ++c) out[(long long)c * ld + i] = z[c];
    }
    for (int i = rows; i < ld; ++i)
        for (int c = 0; c < 3; ++c) out[(long long)c * ld + i] = 0;
}

}  // namespace

#define PELLUCID_STRING_(x) #x
#define PELLUCID_STRING(x) PELLUCID_STRING_(x)
extern const Kernels PELLUCID_TABLE;
const Kernels PELLUCID_TABLE = {
    PELLUCID_STRING(PELLUCID_LEVEL), product, rank_one, signs, extremes, values, sparse_product};

}  // namespace pellucid
