// A dense primal simplex for many small linear programmes: maximise c.x over { a x <= b } and a box, d <= 65 or so, up
// to a few hundred rows, always from a vertex that is at hand.
//
// The tableau is kept in "d-column" form: the vertex x, the numbers of d tight constraints, and the d edges that leave
// it, one for each tight constraint, as columns of a d x d matrix. A pivot costs (rows) d + 3 d^2 multiplications.
//
//     price     r_k = c.edge_k, steepest first: the largest r_k / |edge_k|
//     step      along the edge to the first row it meets (Harris' two passes: rows may be passed by FEASIBLE, and of
//               those met until then the least oblique one is taken, which keeps the basis well conditioned)
//     update    the edges lose their part across the new row
//
// After many steps of length 0 it goes on by Bland's rule, which cannot cycle. Where rows are so nearly parallel that
// edges are mostly rounding, two vertices can each look better from the other: after steps that gain nothing, edges
// must promise ever more to be taken, and the answer says by how much it may be too low. Included by
// search_kernels.cpp, once for each instruction set: hence the unnamed namespace, and nothing from the standard
// library.
#pragma once
#include <math.h>
#include <string.h>

#include "search_kernels.hpp"

namespace pellucid {
namespace {

#if defined(__GNUC__) || defined(__clang__)
typedef double Pack __attribute__((vector_size(PACK * sizeof(double)), aligned(8), may_alias));
inline Pack load(const double* p) { return *reinterpret_cast<const Pack*>(p); }
inline void store(double* p, Pack a) { *reinterpret_cast<Pack*>(p) = a; }
inline Pack all(double a) { return a - Pack{}; }
inline Pack smaller(Pack a, Pack b) { return a < b ? a : b; }
inline Pack larger(Pack a, Pack b) { return a > b ? a : b; }
inline Pack magnitude(Pack a) { return a < all(0.0) ? -a : a; }
inline Pack chosen(Pack sign, Pack a, Pack b) { return sign > all(0.0) ? a : b; }  // a where sign > 0
// a / p where p > least, else infinity
inline Pack quotient(Pack a, Pack p, double least) { return p > all(least) ? a / p : all(INFINITY); }
// p where p > least and a <= limit p, else 0
inline Pack met(Pack a, Pack p, double limit, double least) {
    const Pack near = a <= all(limit) * p ? p : all(0.0);
    return p > all(least) ? near : all(0.0);
}
// Keeps the larger of two values a lane, with its place.
inline void keep_larger(Pack value, Pack place, Pack& best, Pack& at) {
    at = value > best ? place : at;
    best = value > best ? value : best;
}
#else
struct Pack {
    double v[PACK];
};
inline Pack load(const double* p) {
    Pack r;
    for (int i = 0; i < PACK; ++i) r.v[i] = p[i];
    return r;
}
inline void store(double* p, Pack a) {
    for (int i = 0; i < PACK; ++i) p[i] = a.v[i];
}
inline Pack all(double a) {
    Pack r;
    for (int i = 0; i < PACK; ++i) r.v[i] = a;
    return r;
}
#define PELLUCID_OP(name, expression)            \
    inline Pack name(Pack a, Pack b) {           \
        Pack r;                                  \
        for (int i = 0; i < PACK; ++i) {         \
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
inline Pack magnitude(Pack a) { return larger(a, all(0.0) - a); }
inline Pack chosen(Pack sign, Pack a, Pack b) {
    Pack r;
    for (int i = 0; i < PACK; ++i) r.v[i] = sign.v[i] > 0 ? a.v[i] : b.v[i];
    return r;
}
inline Pack quotient(Pack a, Pack p, double least) {
    Pack r;
    for (int i = 0; i < PACK; ++i) r.v[i] = p.v[i] > least ? a.v[i] / p.v[i] : INFINITY;
    return r;
}
inline Pack met(Pack a, Pack p, double limit, double least) {
    Pack r;
    for (int i = 0; i < PACK; ++i) r.v[i] = p.v[i] > least && a.v[i] <= limit * p.v[i] ? p.v[i] : 0;
    return r;
}
inline void keep_larger(Pack value, Pack place, Pack& best, Pack& at) {
    for (int i = 0; i < PACK; ++i)
        if (value.v[i] > best.v[i]) best.v[i] = value.v[i], at.v[i] = place.v[i];
}
#endif

namespace lp {

constexpr double FEASIBLE = 1e-13;  // how far a row may be overstepped, in the length of its normal: a few roundings;
                                    // small, since rows that meet at an angle t magnify it by 1 / t
constexpr double OBLIQUE = 1e-11;   // rows and objectives at this cosine to an edge count as parallel to it
constexpr double DRIFT = 1e-14;     // residuals of tight rows beyond this are corrected
constexpr double APART = 1e-9;      // slack of a row that does not touch a vertex
constexpr double LONG = 1e3;        // a basis with edges longer than this is made anew when it is left
constexpr int REFRESH = 40;         // updates before the edges are made anew
constexpr int STALLED = 20;         // steps of length 0 before Bland's rule
constexpr int IDLE = 30;            // steps that gain nothing before edges must promise ten times as much
constexpr double LOOSEST = 1e-5;    // what they must promise at most

struct Scratch {
    double *slack, *ap, *r, *norm, *alpha, *p, *row, *matrix;

    Scratch(const Halfspaces& rows, double* block) {
        const int n = packed(rows.n), dp = rows.dp;
        slack = block, ap = slack + n, r = ap + n, norm = r + dp, alpha = norm + dp, p = alpha + dp, row = p + dp;
        matrix = row + dp;
    }
};

// ---- products
template <int V>
inline void times_block(const double* a, int ld, int d, const double* x, double* out) {
    Pack sum[V];
    for (int v = 0; v < V; ++v) sum[v] = all(0.0);
    for (int i = 0; i < d; ++i) {
        const Pack f = all(x[i]);
        const double* at = a + (long long)i * ld;
        for (int v = 0; v < V; ++v) sum[v] += load(at + v * PACK) * f;
    }
    for (int v = 0; v < V; ++v) store(out + v * PACK, sum[v]);
}

// out[j] = sum over i < d of x[i] a[i * ld + j], for n columns rounded up to PACK.
inline void times(const double* a, int ld, int n, int d, const double* x, double* out) {
    int j = 0;
    for (; j + 3 * PACK < n; j += 4 * PACK) times_block<4>(a + j, ld, d, x, out + j);
    const int left = (n - j + PACK - 1) / PACK;
    if (left == 3) times_block<3>(a + j, ld, d, x, out + j);
    if (left == 2) times_block<2>(a + j, ld, d, x, out + j);
    if (left == 1) times_block<1>(a + j, ld, d, x, out + j);
}

template <int V>
inline void price_block(const double* e, int dp, int d, const double* c, double* r, double* norm) {
    Pack sum[V], square[V];
    for (int v = 0; v < V; ++v) sum[v] = square[v] = all(0.0);
    for (int i = 0; i < d; ++i) {
        const Pack f = all(c[i]);
        const double* at = e + (long long)i * dp;
        for (int v = 0; v < V; ++v) {
            const Pack w = load(at + v * PACK);
            sum[v] += w * f;
            square[v] += w * w;
        }
    }
    for (int v = 0; v < V; ++v) store(r + v * PACK, sum[v]), store(norm + v * PACK, square[v]);
}

// r_k = c.edge_k and norm_k = |edge_k|^2.
inline void price(const double* e, int dp, int d, const double* c, double* r, double* norm) {
    int k = 0;
    for (; k + 3 * PACK < dp; k += 4 * PACK) price_block<4>(e + k, dp, d, c, r + k, norm + k);
    const int left = (dp - k) / PACK;
    if (left == 3) price_block<3>(e + k, dp, d, c, r + k, norm + k);
    if (left == 2) price_block<2>(e + k, dp, d, c, r + k, norm + k);
    if (left == 1) price_block<1>(e + k, dp, d, c, r + k, norm + k);
}

inline double dot(const double* a, const double* b, int d) {
    double sum = 0;
    for (int i = 0; i < d; ++i) sum += a[i] * b[i];
    return sum;
}

void slacks(const Halfspaces& rows, const double* x, double* slack) {
    times(rows.a, rows.ld, rows.n, rows.d, x, slack);
    for (int j = 0; j < rows.n; j += PACK) store(slack + j, load(rows.b + j) - load(slack + j));
}

// ---- the constraint of a number
inline void normal(const Halfspaces& rows, int id, double* row) {
    if (id < 0) {  // artificial: -x_i <= its value when it was made
        for (int i = 0; i < rows.d; ++i) row[i] = 0;
        row[-1 - id] = -1;
        return;
    }
    if (id >= 2 * rows.d) {
        for (int i = 0; i < rows.d; ++i) row[i] = rows.a[(long long)i * rows.ld + id - 2 * rows.d];
        return;
    }
    for (int i = 0; i < rows.d; ++i) row[i] = 0;
    row[id / 2] = id % 2 ? -1 : 1;
}

inline double offset(const Halfspaces& rows, int id, const double* x) {
    return id < 0 ? -x[-1 - id] : id >= 2 * rows.d ? rows.b[id - 2 * rows.d] : rows.box;
}

// ---- choosing the edge
inline bool improves(double r, double square, double least) { return r > 0 && r * r > least * least * square; }

inline int steepest(const double* r, const double* norm, int d, double least) {
    int best = -1;
    double top = 0, below = 1;  // the best r^2 / norm so far
    for (int k = 0; k < d; ++k)
        if (r[k] > 0 && r[k] * r[k] * below > top * norm[k]) best = k, top = r[k] * r[k], below = norm[k];
    return best >= 0 && improves(r[best], norm[best], least) ? best : -1;
}

inline int lowest(const double* r, const double* norm, const int* ids, int d, double least) {
    int best = -1;
    for (int k = 0; k < d; ++k)
        if (improves(r[k], norm[k], least) && (best < 0 || ids[k] < ids[best])) best = k;
    return best;
}

// ---- the step
struct Hit {
    int id = -1;
    double step = INFINITY, cosine = 0;
};

// Bland: the lowest number of those met, unless its face is too oblique.
inline void take_lowest(Hit& hit, int id, double slack, double cosine, double limit) {
    if (!(cosine > OBLIQUE) || slack > limit * cosine) return;
    if (hit.id >= 0 && (hit.cosine > 1e-8 ? cosine <= 1e-8 || id > hit.id : cosine <= hit.cosine)) return;
    hit = {id, slack > 0 ? slack / cosine : 0, cosine};
}

// Distance to the face of the box that p points at, for components i .. i + PACK.
inline Pack box_slack(const Halfspaces& rows, const double* x, const double* p, int i) {
    const Pack v = load(x + i);
    return all(rows.box) - chosen(load(p + i), v, all(0.0) - v);
}

inline const double* counting() {
    static const double count[PACK] = {0, 1, 2, 3};
    return count;
}

// The first constraint met from x along the unit vector p (padded). ap = a p; rows that shall not be met have ap = 0.
inline Hit first_met(const Halfspaces& rows, const double* x, const double* slack, const double* p, const double* ap,
                     bool bland) {
    const int n = rows.n, d = rows.d;
    const bool boxed = rows.box < INFINITY;
    const Pack zero = all(0.0), margin = all(FEASIBLE);
    Pack least = all(INFINITY);
    for (int j = 0; j < n; j += PACK)
        least = smaller(quotient(larger(load(slack + j), zero) + margin, load(ap + j), OBLIQUE), least);
    for (int i = 0; boxed && i < d; i += PACK)
        least =
            smaller(quotient(larger(box_slack(rows, x, p, i), zero) + margin, magnitude(load(p + i)), OBLIQUE), least);
    double four[PACK], place[PACK], limit = INFINITY;
    store(four, least);
    for (int i = 0; i < PACK; ++i) limit = four[i] < limit ? four[i] : limit;
    Hit hit;
    if (!(limit < INFINITY)) return hit;
    if (bland) {
        for (int i = 0; boxed && i < d; ++i)
            take_lowest(hit, 2 * i + (p[i] < 0), rows.box - (p[i] > 0 ? x[i] : -x[i]), fabs(p[i]), limit);
        for (int j = 0; j < n; ++j) take_lowest(hit, 2 * d + j, slack[j], ap[j], limit);
        return hit;
    }
    Pack best = zero, at = zero, number = load(counting());
    for (int j = 0; j < n; j += PACK, number += all(PACK))
        keep_larger(met(load(slack + j), load(ap + j), limit, OBLIQUE), number, best, at);
    number = load(counting()) - all(packed(d));  // faces of the box count from below 0
    for (int i = 0; boxed && i < d; i += PACK, number += all(PACK))
        keep_larger(met(box_slack(rows, x, p, i), magnitude(load(p + i)), limit, OBLIQUE), number, best, at);
    store(four, best);
    store(place, at);
    for (int i = 0; i < PACK; ++i) {
        if (!(four[i] > hit.cosine)) continue;
        const int j = (int)place[i], axis = j + packed(d);
        hit.cosine = four[i];
        hit.id = j >= 0 ? 2 * d + j : 2 * axis + (p[axis] < 0);
        const double s = j >= 0 ? slack[j] : rows.box - (p[axis] > 0 ? x[axis] : -x[axis]);
        hit.step = s > 0 ? s / hit.cosine : 0;
    }
    return hit;
}

// Keeps the smaller of two values a lane, with its place, and the second smallest.
inline void keep_nearest(Pack value, Pack place, Pack& best, Pack& second, Pack& at) {
    second = smaller(larger(value, best), second);
    Pack negative = all(0.0) - best;
    keep_larger(all(0.0) - value, place, negative, at);
    best = all(0.0) - negative;
}

double ray(const Halfspaces& rows, const double* x, const double* slack, const double* p, int skip, double* scratch,
           int* hit, double* next) {
    const int n = rows.n, d = rows.d;
    times(rows.a, rows.ld, n, d, p, scratch);
    if (skip >= 2 * d) scratch[skip - 2 * d] = 0;
    const Pack zero = all(0.0);
    Pack best = all(INFINITY), second = best, at = all(-1e9), number = load(counting());
    for (int j = 0; j < n; j += PACK, number += all(PACK))
        keep_nearest(quotient(larger(load(slack + j), zero), load(scratch + j), OBLIQUE), number, best, second, at);
    number = load(counting()) - all(packed(d));
    if (rows.box < INFINITY)
        for (int i = 0; i < d; i += PACK, number += all(PACK))
            keep_nearest(quotient(larger(box_slack(rows, x, p, i), zero), magnitude(load(p + i)), OBLIQUE), number,
                         best, second, at);
    double one[PACK], two[PACK], place[PACK], step = INFINITY;
    store(one, best);
    store(two, second);
    store(place, at);
    *hit = -1;
    *next = INFINITY;
    for (int i = 0; i < PACK; ++i) {
        if (one[i] < step) {
            *next = step;
            step = one[i];
            const int j = (int)place[i], axis = j + packed(d);
            *hit = j >= 0 ? 2 * d + j : 2 * axis + (p[axis] < 0);
        } else if (one[i] < *next) {
            *next = one[i];
        }
    }
    for (int i = 0; i < PACK; ++i) *next = two[i] < *next ? two[i] : *next;
    return step;
}

// ---- the basis
// Edges times -1 are the inverse of the matrix of tight normals: Gauss and Jordan, with pivots from the whole column.
bool refactor(const Halfspaces& rows, double* vertex, double* scratch) {
    const int d = rows.d, dp = rows.dp;
    const Scratch s(rows, scratch);
    double *a = s.matrix, *inverse = a + (long long)d * dp;
    const int* ids = Vertex::ids(vertex, d, dp);
    memset(inverse, 0, sizeof(double) * (size_t)d * dp);
    for (int k = 0; k < d; ++k) {
        for (int i = 0; i < dp; ++i) a[(long long)k * dp + i] = 0;
        normal(rows, ids[k], a + (long long)k * dp);
        inverse[(long long)k * dp + k] = 1;
    }
    for (int c = 0; c < d; ++c) {
        int top = c;
        for (int k = c + 1; k < d; ++k)
            if (fabs(a[(long long)k * dp + c]) > fabs(a[(long long)top * dp + c])) top = k;
        double *pivot = a + (long long)top * dp, *image = inverse + (long long)top * dp;
        if (!(fabs(pivot[c]) > 1e-13)) return false;
        if (top != c)
            for (int i = 0; i < dp; ++i) {
                double *p = a + (long long)c * dp + i, *q = inverse + (long long)c * dp + i, t = *p;
                *p = pivot[i], pivot[i] = t;
                t = *q, *q = image[i], image[i] = t;
            }
        pivot = a + (long long)c * dp, image = inverse + (long long)c * dp;
        const double f = 1 / pivot[c];
        for (int i = 0; i < dp; ++i) pivot[i] *= f, image[i] *= f;
        for (int k = 0; k < d; ++k) {
            double *other = a + (long long)k * dp, *other_image = inverse + (long long)k * dp;
            const double g = other[c];
            if (k == c || g == 0) continue;
            for (int i = 0; i < dp; i += PACK) {
                store(other + i, load(other + i) + load(pivot + i) * all(-g));
                store(other_image + i, load(other_image + i) + load(image + i) * all(-g));
            }
        }
    }
    double *e = Vertex::edges(vertex, dp), *x = Vertex::x(vertex);
    for (int k = 0; k < d; ++k) s.r[k] = offset(rows, ids[k], x);
    for (int i = 0; i < d; ++i)  // row i of the inverse: component i of all edges, and x_i from the offsets
        for (int k = 0; k < dp; ++k) e[(long long)i * dp + k] = -inverse[(long long)i * dp + k];
    for (int i = 0; i < d; ++i) x[i] = -dot(e + (long long)i * dp, s.r, d);
    for (int k = 0; k < d; ++k) {  // what the inverse's own rounding has done to x
        normal(rows, ids[k], s.row);
        s.r[k] -= dot(s.row, x, d);
    }
    for (int i = 0; i < d; ++i) x[i] -= dot(e + (long long)i * dp, s.r, d);
    Vertex::updates(vertex, d, dp) = 0;
    return true;
}

// Rows that meet at a small angle: edges (whose length is one over the distance that a row moves by) magnify rounding.
inline bool is_rough(const double* norm, int d) {
    double longest = 0;
    for (int k = 0; k < d; ++k) longest = norm[k] > longest ? norm[k] : longest;
    return longest > LONG * LONG;
}

// The k-th tight constraint is exchanged for number id; both are tight after the step that was made.
inline bool exchange(const Halfspaces& rows, double* vertex, int k, int id, bool rough, Scratch& s, double* scratch) {
    const int d = rows.d, dp = rows.dp;
    double* e = Vertex::edges(vertex, dp);
    if (id >= 2 * d) {
        normal(rows, id, s.row);
        times(e, dp, dp, d, s.row, s.alpha);
    } else {
        const double sign = id % 2 ? -1 : 1;
        for (int q = 0; q < dp; ++q) s.alpha[q] = sign * e[(long long)(id / 2) * dp + q];
    }
    const double inverse = 1 / s.alpha[k];
    for (int i = 0; i < d; ++i) {
        double* row = e + (long long)i * dp;
        const double f = row[k] * inverse;
        for (int q = 0; q < dp; q += PACK) store(row + q, load(row + q) + load(s.alpha + q) * all(-f));
        row[k] = -f;
    }
    Vertex::ids(vertex, d, dp)[k] = id;
    if (++Vertex::updates(vertex, d, dp) < REFRESH && !rough) return true;
    return refactor(rows, vertex, scratch) || rough;
}

// One pivot, after price(): leaves the k-th tight constraint along its edge (or against it: sign = -1).
enum class Pivot { moved, stood, open, broken };

inline Pivot pivot(const Halfspaces& rows, double* vertex, int k, double sign, bool bland, Scratch& s,
                   double* scratch) {
    const int d = rows.d, dp = rows.dp;
    double *x = Vertex::x(vertex), *e = Vertex::edges(vertex, dp);
    int* ids = Vertex::ids(vertex, d, dp);
    const bool rough = is_rough(s.norm, d);
    double square = 0;
    for (int i = 0; i < d; ++i) s.p[i] = e[(long long)i * dp + k], square += s.p[i] * s.p[i];
    const double inverse = sign / sqrt(square);
    for (int i = 0; i < d; ++i) s.p[i] *= inverse;
    for (int i = d; i < dp; ++i) s.p[i] = 0;
    for (int q = 0; q < d; ++q)  // rounding must not make it meet what it runs along
        if (q != k && ids[q] >= 0 && ids[q] < 2 * d) s.p[ids[q] / 2] = 0;
    times(rows.a, rows.ld, rows.n, d, s.p, s.ap);
    for (int q = 0; q < d; ++q)
        if (ids[q] >= 2 * d) s.ap[ids[q] - 2 * d] = 0;
    const Hit hit = first_met(rows, x, s.slack, s.p, s.ap, bland);
    if (hit.id < 0) return Pivot::open;
    for (int i = 0; i < d; ++i) x[i] += hit.step * s.p[i];
    for (int j = 0; j < rows.n; j += PACK) store(s.slack + j, load(s.slack + j) + load(s.ap + j) * all(-hit.step));
    if (ids[k] >= 2 * d) s.slack[ids[k] - 2 * d] = hit.step * fabs(inverse);
    if (hit.id >= 2 * d) s.slack[hit.id - 2 * d] = 0;
    if (hit.id < 2 * d) x[hit.id / 2] = hit.id % 2 ? -rows.box : rows.box;
    if (!exchange(rows, vertex, k, hit.id, rough, s, scratch)) return Pivot::broken;
    if (Vertex::updates(vertex, d, dp) == 0) slacks(rows, x, s.slack);
    return hit.step > 1e-14 ? Pivot::moved : Pivot::stood;
}

// Slacks of the vertex; when its tight rows are not tight enough, x is corrected first.
inline void settle(const Halfspaces& rows, double* vertex, Scratch& s) {
    const int d = rows.d, dp = rows.dp;
    double* x = Vertex::x(vertex);
    const int* ids = Vertex::ids(vertex, d, dp);
    slacks(rows, x, s.slack);
    double worst = 0;
    for (int k = 0; k < d; ++k) {
        const int id = ids[k];
        s.r[k] = id < 0 ? 0 : id >= 2 * d ? s.slack[id - 2 * d] : rows.box - (id % 2 ? -x[id / 2] : x[id / 2]);
        worst = fabs(s.r[k]) > worst ? fabs(s.r[k]) : worst;
    }
    if (worst > DRIFT) {
        const double* e = Vertex::edges(vertex, dp);
        for (int i = 0; i < d; ++i) x[i] -= dot(e + (long long)i * dp, s.r, d);
        slacks(rows, x, s.slack);
    }
    for (int k = 0; k < d; ++k)
        if (ids[k] >= 2 * d) s.slack[ids[k] - 2 * d] = 0;
}

// Where no more than d constraints are tight, each of them has a facet.
inline void mark(const Halfspaces& rows, const double* vertex, const Scratch& s, unsigned char* seen) {
    const int d = rows.d;
    const double* x = Vertex::x(vertex);
    const int* ids = Vertex::ids(vertex, d, rows.dp);
    int tight = 0;
    for (int j = 0; j < rows.n; ++j) tight += s.slack[j] <= APART;
    if (rows.box < INFINITY)
        for (int i = 0; i < d; ++i) tight += rows.box - fabs(x[i]) <= APART;
    if (tight > d) return;
    for (int k = 0; k < d; ++k)
        if (ids[k] >= 0) seen[ids[k]] = 1;
}

LpResult maximise(const Halfspaces& rows, const double* start, double* work, const double* c, double stop,
                  double* scratch, unsigned char* seen) {
    const int d = rows.d, dp = rows.dp;
    Scratch s(rows, scratch);
    price(Vertex::edges(start, dp), dp, d, c, s.r, s.norm);
    int k = steepest(s.r, s.norm, d, OBLIQUE);
    if (k < 0) return {LpStatus::optimal, 0, dot(c, start, d)};
    memcpy(work, start, sizeof(double) * (size_t)Vertex::size(d));
    settle(rows, work, s);
    const int* ids = Vertex::ids(work, d, dp);
    const int most = 1000 + 50 * (d + rows.n);
    int stood = 0, idle = 0;
    double best = dot(c, work, d), least = OBLIQUE;
    for (int pivots = 1; pivots <= most; ++pivots) {
        const bool bland = stood > STALLED;
        const Pivot done = pivot(rows, work, k, 1, bland, s, scratch);
        if (done == Pivot::open) return {LpStatus::unbounded, pivots, INFINITY};
        if (done == Pivot::broken) return {LpStatus::stuck, pivots, 0};
        if (seen) mark(rows, work, s, seen);
        const double value = dot(c, work, d);
        if (value > stop) return {LpStatus::stopped, pivots, value};
        stood = done == Pivot::stood ? stood + 1 : 0;
        if (value > best)
            best = value, idle = 0;
        else if (done == Pivot::moved && ++idle > IDLE && least < LOOSEST)
            least *= 10, idle = 0;
        price(Vertex::edges(work, dp), dp, d, c, s.r, s.norm);
        k = stood > STALLED ? lowest(s.r, s.norm, ids, d, least) : steepest(s.r, s.norm, d, least);
        if (k < 0)
            return {LpStatus::optimal, pivots, value, least > OBLIQUE ? best - value + 2 * least * sqrt((double)d) : 0};
    }
    return {LpStatus::stuck, most, 0};
}

bool to_vertex(const Halfspaces& rows, const double* from, const double* c, double* vertex, double* scratch) {
    const int d = rows.d, dp = rows.dp;
    Scratch s(rows, scratch);
    memset(vertex, 0, sizeof(double) * (size_t)Vertex::size(d));
    double *x = Vertex::x(vertex), *e = Vertex::edges(vertex, dp);
    int* ids = Vertex::ids(vertex, d, dp);
    memcpy(x, from, sizeof(double) * (size_t)d);
    for (int k = 0; k < d; ++k) e[(long long)k * dp + k] = 1, ids[k] = -1 - k;
    slacks(rows, x, s.slack);
    for (int left = d; left > 0; --left) {
        price(e, dp, d, c, s.r, s.norm);
        int k = -1;
        for (int q = 0; q < d; ++q)
            if (ids[q] < 0 && (k < 0 || s.r[q] * s.r[q] * s.norm[k] > s.r[k] * s.r[k] * s.norm[q])) k = q;
        const double sign = s.r[k] < 0 ? -1 : 1;
        Pivot done = pivot(rows, vertex, k, sign, false, s, scratch);
        if (done == Pivot::open && fabs(s.r[k]) <= OBLIQUE * sqrt(s.norm[k]))
            done = pivot(rows, vertex, k, -sign, false, s, scratch);
        if (done == Pivot::open || done == Pivot::broken) return false;
    }
    return true;
}

}  // namespace lp
}  // namespace
}  // namespace pellucid
