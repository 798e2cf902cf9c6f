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

// ---- volume of simple polytopes: see volume.hpp
inline int lowest(uint64_t a) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(a);
#else
    int n = 0;
    for (; !(a & 1); a >>= 1) ++n;
    return n;
#endif
}

// A simple polytope of dimension D, or a facet of one, with at most 64 vertices. Coordinates of a vertex stand STRIDE
// doubles apart; those that were eliminated stay where they are and are not looked at any more: `live` numbers the
// others.
template <int D>
struct Simple {
    static constexpr int STRIDE = (D + W - 1) / W * W, LEVEL = 64 * STRIDE;

    const uint64_t* tight;  // facets of each vertex
    uint64_t members[64];   // vertices of each facet

    static double triangle(const double* y, const int* live, const double* a, int i, int j) {
        const double *p = y + (long long)STRIDE * i, *q = y + (long long)STRIDE * j;
        const double p0 = p[live[0]], p1 = p[live[1]], p2 = p[live[2]];
        const double q0 = q[live[0]], q1 = q[live[1]], q2 = q[live[2]];
        const double det =
            a[live[0]] * (p1 * q2 - p2 * q1) + a[live[1]] * (p2 * q0 - p0 * q2) + a[live[2]] * (p0 * q1 - p1 * q0);
        return det < 0 ? -det : det;
    }

    // Six times the volume of the cone from the origin over a polygon, by triangles from its apex.
    double polygon(uint64_t G, const double* y, const int* live) const {
        const int apex = lowest(G);
        const double* a = y + (long long)STRIDE * apex;
        // most have three or four vertices
        const uint64_t g = G & (G - 1), h = g & (g - 1), k = h & (h - 1);
        if (k == 0) return h ? triangle(y, live, a, lowest(g), lowest(h)) : 0;
        if ((k & (k - 1)) == 0) {  // the one that shares no edge with the apex is opposite
            int v[3] = {lowest(g), lowest(h), lowest(k)};
            const int o = !is_edge(v[0], apex) ? 0 : !is_edge(v[1], apex) ? 1 : 2;
            const int opposite = v[o];
            v[o] = v[2];
            return triangle(y, live, a, opposite, v[0]) + triangle(y, live, a, opposite, v[1]);
        }
        uint64_t around = 0;
        for (uint64_t rest = g; rest; rest &= rest - 1) around |= tight[lowest(rest)];
        double sum = 0;
        for (uint64_t f = around & ~tight[apex]; f; f &= f - 1) {
            const uint64_t e = G & members[lowest(f)], last = e & (e - 1);
            if (last) sum += triangle(y, live, a, lowest(e), lowest(last));
        }
        return sum;
    }

    bool is_edge(int u, int v) const { return popcount(tight[u] & tight[v]) >= D - 1; }

    // (K + 1)! times the volume of the cone from the origin over face G of dimension K.
    template <int K>
    double cone(uint64_t G, const double* y, double* next, const int* live) const {
        if constexpr (K == 2) {
            return polygon(G, y, live);
        } else {
            const int apex = lowest(G);
            const double* a = y + (long long)STRIDE * apex;
            int pivot = 0;
            double size = 0;
            for (int i = 0; i <= K; ++i) {
                const double m = a[live[i]] < 0 ? -a[live[i]] : a[live[i]];
                pivot = m > size ? i : pivot;
                size = m > size ? m : size;
            }
            if (size == 0) return 0;
            const double *at_pivot = y + live[pivot], inverse = 1 / a[live[pivot]];
            int rest[K];
            for (int i = 0; i < K; ++i) rest[i] = live[i + (i >= pivot)];
            Pack row[STRIDE / W];
            for (int p = 0; p < STRIDE / W; ++p) row[p] = load(a + p * W);
            uint64_t around = 0;
            for (uint64_t g = G & (G - 1); g; g &= g - 1) {
                const int v = lowest(g);
                around |= tight[v];
                const long long at = (long long)STRIDE * v;
                const Pack t = all(at_pivot[at] * inverse);
                for (int p = 0; p < STRIDE / W; ++p) store(next + at + p * W, load(y + at + p * W) - t * row[p]);
            }
            double sum = 0;
            for (uint64_t f = around & ~tight[apex]; f; f &= f - 1)
                sum += cone<K - 1>(G & members[lowest(f)], next, next + LEVEL, rest);
            return size * sum;
        }
    }

    void find_members(int n) {
        uint64_t facets = 0;
        for (int v = 0; v < n; ++v) facets |= tight[v];
        for (; facets; facets &= facets - 1) members[lowest(facets)] = 0;
        for (int v = 0; v < n; ++v)
            for (uint64_t t = tight[v]; t; t &= t - 1) members[lowest(t)] |= uint64_t(1) << v;
    }
};

// The vertex whose facets have the most vertices: the smallest facets are left to be divided.
inline int widest(const uint64_t* tight, int n, const int* size) {
    int most = -1, apex = 0;
    for (int v = 0; v < n; ++v) {
        int sum = 0;
        for (uint64_t t = tight[v]; t; t &= t - 1) sum += size[lowest(t)];
        apex = sum > most ? v : apex;
        most = sum > most ? sum : most;
    }
    return apex;
}

// Facet by facet if there are too many vertices for one word; -1 if a facet has too many.
template <int D>
double volume_of(const double* x, int ldx, int n, const uint64_t* tight, uint64_t facets, double* y) {
    constexpr int STRIDE = Simple<D>::STRIDE, LEVEL = Simple<D>::LEVEL;
    Simple<D> p;
    int size[64];
    if (n <= 64) {
        p.tight = tight;
        p.find_members(n);
        for (uint64_t f = facets; f; f &= f - 1) size[lowest(f)] = popcount(p.members[lowest(f)]);
    } else {
        for (uint64_t f = facets; f; f &= f - 1) size[lowest(f)] = 0;
        for (int v = 0; v < n; ++v)
            for (uint64_t t = tight[v]; t; t &= t - 1) ++size[lowest(t)];
    }
    const int apex = widest(tight, n, size);
    int live[D];
    double origin[D], sum = 0;
    for (int a = 0; a < D; ++a) {
        live[a] = a;
        origin[a] = x[(long long)a * ldx + apex];
    }
    if (n <= 64) {
        for (int a = 0; a < D; ++a)
            for (int v = 0; v < n; ++v) y[(long long)STRIDE * v + a] = x[(long long)a * ldx + v] - origin[a];
        for (uint64_t f = facets & ~tight[apex]; f; f &= f - 1)
            sum += p.template cone<D - 1>(p.members[lowest(f)], y, y + LEVEL, live);
    } else {
        uint64_t mine[64];
        p.tight = mine;
        for (uint64_t f = facets & ~tight[apex]; f; f &= f - 1) {
            if (size[lowest(f)] > 64) return -1;
            int m = 0;
            for (int v = 0; v < n; ++v) {
                if (!(tight[v] >> lowest(f) & 1)) continue;
                mine[m] = tight[v];
                for (int a = 0; a < D; ++a) y[(long long)STRIDE * m + a] = x[(long long)a * ldx + v] - origin[a];
                ++m;
            }
            p.find_members(m);
            sum += p.template cone<D - 1>(p.members[lowest(f)], y, y + LEVEL, live);
        }
    }
    for (int k = 2; k <= D; ++k) sum /= k;
    return sum;
}

double volume(const double* x, int ldx, int n, int d, const uint64_t* tight, uint64_t facets, double* scratch) {
    switch (d) {
        case 3:
            return volume_of<3>(x, ldx, n, tight, facets, scratch);
        case 4:
            return volume_of<4>(x, ldx, n, tight, facets, scratch);
        case 5:
            return volume_of<5>(x, ldx, n, tight, facets, scratch);
        case 6:
            return volume_of<6>(x, ldx, n, tight, facets, scratch);
        default:
            return -1;
    }
}

}  // namespace

extern const VertexKernels PELLUCID_VERTEX_TABLE;
const VertexKernels PELLUCID_VERTEX_TABLE = {product, rank_one, screen, values,  extremes,
                                             bounds,  sums,     near,   meeting, volume};

}  // namespace pellucid
