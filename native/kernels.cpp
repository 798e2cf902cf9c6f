// See kernels.hpp. PELLUCID_TABLE names the table that this compilation makes.
#include "kernels.hpp"

#include "packs.hpp"

namespace pellucid {
namespace {

// ---- kernels
// Rows that a pass of `product` holds in registers: P packs for each of three sums (12 of the 16 AVX registers).
constexpr int ROWS = W == 2 ? 8 : 16;

template <int P>
inline void product_rows(const double* a, const int* cols, int k, const double* s, int lds, const double* bias,
                         double* out, int ld) {
    Pack x[P], y[P], h[P];
    for (int p = 0; p < P; ++p) {
        x[p] = y[p] = all(0.0);
        h[p] = load(bias + p * W);
    }
    for (int q = 0; q < k; ++q) {
        const double* at = s + cols[q];
        const double* column = a + (long long)cols[q] * TILE;
        const Pack sx = all(at[0]), sy = all(at[lds]), sh = all(at[2ll * lds]);
        for (int p = 0; p < P; ++p) {
            const Pack w = load(column + p * W);
            x[p] += w * sx;
            y[p] += w * sy;
            h[p] += w * sh;
        }
    }
    for (int p = 0; p < P; ++p) {
        store(out + p * W, x[p]);
        store(out + ld + p * W, y[p]);
        store(out + 2 * ld + p * W, h[p]);
    }
}

// Few rows: one pack, in two sums that do not wait for each other.
inline void product_one_pack(const double* a, const int* cols, int k, const double* s, int lds, const double* bias,
                             double* out, int ld) {
    Pack x[2], y[2], h[2];
    for (int p = 0; p < 2; ++p) x[p] = y[p] = h[p] = all(0.0);
    int q = 0;
    for (; q + 1 < k; q += 2)
        for (int p = 0; p < 2; ++p) {
            const double* at = s + cols[q + p];
            const Pack w = load(a + (long long)cols[q + p] * TILE);
            x[p] += w * all(at[0]);
            y[p] += w * all(at[lds]);
            h[p] += w * all(at[2ll * lds]);
        }
    if (q < k) {
        const double* at = s + cols[q];
        const Pack w = load(a + (long long)cols[q] * TILE);
        x[0] += w * all(at[0]);
        y[0] += w * all(at[lds]);
        h[0] += w * all(at[2ll * lds]);
    }
    store(out, x[0] + x[1]);
    store(out + ld, y[0] + y[1]);
    store(out + 2 * ld, h[0] + h[1] + load(bias));
}

void product(const double* tiles, int rows, int n_cols, const int* cols, int k, const double* s, int lds,
             const double* bias, double* out) {
    const int ld = (rows + TILE - 1) / TILE * TILE;
    for (int r = 0; r < rows; r += ROWS) {
        const double* a = tiles + (long long)(r / TILE) * n_cols * TILE + r % TILE;
        const int left = rows - r;
        if (left <= W)
            product_one_pack(a, cols, k, s, lds, bias + r, out + r, ld);
        else if (left <= ROWS / 2)
            product_rows<ROWS / W / 2>(a, cols, k, s, lds, bias + r, out + r, ld);
        else
            product_rows<ROWS / W>(a, cols, k, s, lds, bias + r, out + r, ld);
    }
}

#if defined(__AVX2__)
// For each byte, the places of its bits.
struct BytePlaces {
    unsigned char at[256][8];
    constexpr BytePlaces() : at() {
        for (int b = 0; b < 256; ++b)
            for (int i = 0, n = 0; i < 8; ++i)
                if (b >> i & 1) at[b][n++] = (unsigned char)i;
    }
};
constexpr BytePlaces places;

int set_bits(const uint64_t* bits, int words, int* out) {
    int n = 0;
    for (int w = 0; w < words; ++w)
        for (int b = 0; b < 8; ++b) {
            const unsigned byte = bits[w] >> (8 * b) & 255;
            const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(places.at[byte]));
            const __m256i numbers = _mm256_add_epi32(_mm256_cvtepu8_epi32(eight), _mm256_set1_epi32(64 * w + 8 * b));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + n), numbers);
            n += __builtin_popcount(byte);
        }
    return n;
}
#else
int set_bits(const uint64_t* bits, int words, int* out) {
    int n = 0;
    for (int w = 0; w < words; ++w)
        for (int b = 0; b < 64; b += 8)
            for (unsigned byte = bits[w] >> b & 255, i = 0; byte; byte >>= 1, ++i)
                if (byte & 1) out[n++] = (int)(64 * w + b + i);
    return n;
}
#endif

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

void magnitude(const double* tiles, int n_tiles, int n_cols, const int* cols, int k, const double* w, double* out) {
    constexpr int P = TILE / W;
    for (int t = 0; t < n_tiles; ++t) {
        const double* a = tiles + (long long)t * n_cols * TILE;
        Pack sum[P];
        for (int p = 0; p < P; ++p) sum[p] = all(0.0);
        for (int q = 0; q < k; ++q) {
            const Pack weight = all(w[cols[q]]);
            const double* column = a + (long long)cols[q] * TILE;
            for (int p = 0; p < P; ++p) {
                const Pack v = load(column + p * W);
                sum[p] += larger(v, all(0.0) - v) * weight;
            }
        }
        for (int p = 0; p < P; ++p) store(out + t * TILE + p * W, sum[p]);
    }
}

}  // namespace

#define PELLUCID_STRING_(x) #x
#define PELLUCID_STRING(x) PELLUCID_STRING_(x)
extern const Kernels PELLUCID_TABLE;
const Kernels PELLUCID_TABLE = {
    PELLUCID_STRING(PELLUCID_LEVEL), product, set_bits, rank_one, signs, extremes, values, sparse_product, magnitude};

}  // namespace pellucid
