// Convex polytopes of any dimension by their vertices and by which facets each vertex lies on.
//
// Facets have places 0, 1, ... in bitsets of one or more words; a place that is free again is used again. Nothing here
// looks at angles or solves equations: what meets what is read off the bitsets, and new vertices lie on edges between
// vertices strictly on both sides of a cut.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "polygon.hpp"
#include "vertex_kernels.hpp"

namespace pellucid {

inline int lanes(int n) { return (n + LANES - 1) / LANES * LANES; }

// Calls use(place) for every element, in ascending order.
template <class Use>
inline void each_bit(const uint64_t* set, int words, Use use) {
    for (int w = 0; w < words; ++w)
        for (uint64_t bits = set[w]; bits; bits &= bits - 1) use(64 * w + std::countr_zero(bits));
}

inline int count_bits(const uint64_t* set, int words) {
    int n = 0;
    for (int w = 0; w < words; ++w) n += std::popcount(set[w]);
    return n;
}

// A facet's label: the seam that made it and on which side of it the polytope lies (0 lower, 1 upper), or -1 - f for
// face f of the domain.
using Label = int64_t;
inline Label label_of(Seam seam, int side) { return 2 * seam + side; }

struct Polytope {
    int d = 0, n = 0, ldx = 0, words = 1;
    bool simple = true;      // every vertex lies on exactly d facets
    Buffer<double> x;        // coordinate a of vertex v at a * ldx + v; padded with the last vertex
    Buffer<uint64_t> tight;  // facets of vertex v from v * words on
    Buffer<uint64_t> facets;

    bool labelled = false;  // only then are these kept
    Buffer<Label> label;    // by place
    Buffer<double> plane;   // by place, d + 1 numbers: a.x <= b, outwards

    double at(int v, int a) const { return x[(size_t)a * ldx + v]; }

    // Room for n vertices and `words` words of facets; contents are lost.
    void shape(int d_, int n_, int words_, bool labelled_) {
        d = d_, n = n_, words = words_, labelled = labelled_;
        ldx = lanes(n);
        x.need((size_t)d * ldx);
        tight.need((size_t)(n + LANES) * words);
        facets.need(words);
        if (labelled) {
            label.need(64 * (size_t)words);
            plane.need(64 * (size_t)words * (d + 1));
        }
    }
    void pad() {
        for (int a = 0; a < d; ++a)
            for (int v = n; v < ldx; ++v) x[(size_t)a * ldx + v] = x[(size_t)a * ldx + n - 1];
    }
    void set_face(int place, Label name, const double* g, double h, double sign) {  // sign (g.x + h) <= 0 inside
        if (!labelled) return;
        label[place] = name;
        double* p = plane + (size_t)place * (d + 1);
        for (int a = 0; a < d; ++a) p[a] = sign * g[a];
        p[d] = -sign * h;
    }
    void copy(const Polytope& o) {
        shape(o.d, o.n, o.words, o.labelled);
        simple = o.simple;
        std::copy_n(o.x.data.get(), (size_t)d * ldx, x.data.get());
        std::copy_n(o.tight.data.get(), (size_t)n * words, tight.data.get());
        std::copy_n(o.facets.data.get(), words, facets.data.get());
        copy_faces(o);
    }
    void copy_faces(const Polytope& o) {
        if (!labelled) return;
        each_bit(facets, std::min(words, o.words), [&](int place) {
            label[place] = o.label[place];
            std::copy_n(o.plane + (size_t)place * (d + 1), d + 1, plane + (size_t)place * (d + 1));
        });
    }
    bool is_simple() const {
        for (int v = 0; v < n; ++v)
            if (count_bits(tight + (size_t)v * words, words) != d) return false;
        return true;
    }

    // The box [lo, hi]; face i is that of x_i <= hi_i, face d + i that of x_i >= lo_i.
    void box(int d_, const double* lo, const double* hi, const Label* names, bool labelled_) {
        if (d_ > 20) throw std::length_error("too many dimensions for cells by vertices");
        shape(d_, 1 << d_, 1, labelled_);
        simple = true;
        for (int v = 0; v < n; ++v) {
            tight[v] = 0;
            for (int a = 0; a < d; ++a) {
                const bool high = v >> a & 1;
                x[(size_t)a * ldx + v] = high ? hi[a] : lo[a];
                tight[v] |= uint64_t(1) << (high ? a : d + a);
            }
        }
        facets[0] = (uint64_t(1) << 2 * d) - 1;
        for (int a = 0; a < d && labelled; ++a)
            for (int side = 0; side < 2; ++side) {
                double* p = plane + (size_t)(side * d + a) * (d + 1);
                std::fill_n(p, d + 1, 0.0);
                p[a] = side ? -1 : 1;
                p[d] = side ? -lo[a] : hi[a];
                label[side * d + a] = names[side * d + a];
            }
        pad();
    }
};

// The longest distances along the axes.
inline double extent(const Polytope& p) {
    double sum = 0;
    for (int a = 0; a < p.d; ++a) {
        const auto [lo, hi] = std::minmax_element(p.x + (size_t)a * p.ldx, p.x + (size_t)a * p.ldx + p.n);
        sum += (*hi - *lo) * (*hi - *lo);
    }
    return std::sqrt(sum);
}

// A hyperplane g.x + h = 0 to cut along, with the tolerance beyond which a vertex is on one of its sides; `floor` is
// the part of it that stands for rounding.
struct Knife {
    const double* line;  // d + 1 doubles
    double tol, floor;
    Label lower = 0, upper = 0;  // labels of the new facet, of the parts below and above
};

// Cuts polytopes; keeps its scratch.
class Cutter {
  public:
    // snaps: may vertices lie on a hyperplane? If not, it is moved off them all, and all cells stay simple: that never
    // fails, but facets of the size of the tolerance appear where in truth many meet in a point.
    Cutter(const VertexKernels& kernels, bool snaps) : k_(kernels), snaps_(snaps) {}

    bool met_vertices = false;  // were there any vertices on a hyperplane?

    // Cuts p along the knife into `upper` and `lower` (either may be null, neither may be p). z: values at the
    // vertices, some of them beyond the tolerance on either side.
    //
    // Vertices on the hyperplane belong to both parts. A facet of p stays a facet of the part in which it has a vertex
    // strictly on that side; so the facets of a part are always the necessary ones.
    void cut(const Polytope& p, const double* z, const Knife& knife, Polytope* upper, Polytope* lower) {
        const Aim aim = aim_at(p, z, knife);
        sort_vertices(p, z, aim);
        const Polytope* from = &p;
        int place = free_place(p);
        if (place < 0) {
            widen(p);
            from = &wide_;
            place = free_place(wide_);
        }
        const int words = from->words;
        find_edges(*from);
        meet(*from, z, aim.shift);
        if (upper) build(*from, above_, at_zero_, place, words, *upper);
        if (lower) build(*from, below_, at_zero_, place, words, *lower);
        const double* g = knife.line;
        const double h = g[p.d] - aim.shift;
        if (upper) finish(*from, place, knife.upper, g, h, -1, *upper);
        if (lower) finish(*from, place, knife.lower, g, h, +1, *lower);
    }

  private:
    struct Side {
        int n = 0;
        Buffer<int> vertex;
        Buffer<uint64_t> tight;  // of those vertices
        std::vector<uint64_t> facets;
    };

    const VertexKernels& k_;
    const bool snaps_;
    Side above_, below_;
    std::vector<int> at_zero_, zeros_;
    std::vector<double> window_;
    Buffer<int> hits_, zero_;
    int edges_ = 0;
    Buffer<int> from_, to_;    // ends of the edges that are cut: vertices above and below
    Buffer<double> points_;    // [coordinate][edge]
    Buffer<uint64_t> common_;  // facets of each
    Polytope wide_, narrow_;

    // Values up to `zero` from `shift` count as on the hyperplane.
    struct Aim {
        double shift, zero;
    };

    // Hyperplanes through vertices are common (no bias, duplicates, differences of units that bend together); values
    // there are noise, and count as 0. Where a vertex lies so close that it could be either, the hyperplane is moved,
    // within the tolerance, to the middle of the nearest gap between vertices that is wide enough: what is on which
    // side must be beyond doubt, or facets and vertices contradict each other and parts get lost.
    Aim aim_at(const Polytope& p, const double* z, const Knife& knife) {
        const double geometric = knife.tol - knife.floor, gap = geometric / 32 + knife.floor / 4;
        double zero = std::max(geometric / 1024, knife.floor / 16);
        if (!snaps_ || knife.floor / 16 > geometric / 32)
            zero = 0;  // noise over a thick layer cannot be told from values
        bool clear = true;
        for (int v = 0; v < p.n; ++v) {
            const double size = std::abs(z[v]);
            clear &= size <= zero || size >= gap;
        }
        if (clear) return {0, zero};
        window_.assign({-knife.tol, knife.tol});
        for (int v = 0; v < p.n; ++v)
            if (std::abs(z[v]) < knife.tol) window_.push_back(z[v]);
        std::sort(window_.begin(), window_.end());
        double best = INFINITY, widest = 0, middle = 0;
        for (size_t i = 0; i + 1 < window_.size(); ++i) {
            const double lo = window_[i] + gap, hi = window_[i + 1] - gap, width = window_[i + 1] - window_[i];
            if (width > widest) widest = width, middle = window_[i] + width / 2;
            if (lo <= hi && std::abs(std::clamp(0.0, lo, hi)) < std::abs(best)) best = std::clamp(0.0, lo, hi);
        }
        return {std::isfinite(best) ? best : middle, 0};
    }

    void sort_vertices(const Polytope& p, const double* z, Aim aim) {
        const double top = aim.shift + aim.zero, bottom = aim.shift - aim.zero;
        const int n = p.n;
        int* up = above_.vertex.need(n);
        int* down = below_.vertex.need(n);
        int* zero = zero_.need(n);
        int ups = 0, downs = 0, zeros = 0;
        for (int v = 0; v < n; ++v) {
            const bool is_up = z[v] > top, is_down = z[v] < bottom;
            up[ups] = down[downs] = zero[zeros] = v;
            ups += is_up;
            downs += is_down;
            zeros += !is_up && !is_down;
        }
        above_.n = ups;
        below_.n = downs;
        at_zero_.assign(zero, zero + zeros);
        met_vertices |= zeros > 0;
    }

    static int free_place(const Polytope& p) {
        for (int w = 0; w < p.words; ++w)
            if (~p.facets[w]) return 64 * w + std::countr_one(p.facets[w]);
        return -1;
    }

    void widen(const Polytope& p) {
        wide_.shape(p.d, p.n, p.words + 1, p.labelled);
        wide_.simple = p.simple;
        std::copy_n(p.x.data.get(), (size_t)p.d * p.ldx, wide_.x.data.get());
        for (int v = 0; v < p.n; ++v) {
            std::copy_n(p.tight + (size_t)v * p.words, p.words, wide_.tight + (size_t)v * wide_.words);
            wide_.tight[(size_t)v * wide_.words + p.words] = 0;
        }
        std::copy_n(p.facets.data.get(), p.words, wide_.facets.data.get());
        wide_.facets[p.words] = 0;
        wide_.copy_faces(p);
    }

    void gather(const Polytope& p, Side& side) {
        const int words = p.words;
        uint64_t* to = side.tight.need((size_t)(side.n + LANES) * words);
        side.facets.assign(words, 0);
        if (words == 1) {
            uint64_t all = 0;
            for (int i = 0; i < side.n; ++i) all |= to[i] = p.tight[side.vertex[i]];
            side.facets[0] = all;
            std::fill_n(to + side.n, LANES, uint64_t(0));
            return;
        }
        for (int i = 0; i < side.n; ++i, to += words) {
            const uint64_t* t = p.tight + (size_t)side.vertex[i] * words;
            for (int w = 0; w < words; ++w) side.facets[w] |= to[w] = t[w];
        }
    }

    // All pairs of adjacent vertices on the two sides. The two ends of an edge share d - 1 facets or more; in a simple
    // vertex any d - 1 of its facets belong to one edge, else no third vertex may lie on all that the two share.
    void find_edges(const Polytope& p) {
        gather(p, above_);
        gather(p, below_);
        const bool swap = above_.n > below_.n;  // the longer side goes through the vector loop
        const Side &few = swap ? below_ : above_, &many = swap ? above_ : below_;
        const int words = p.words;
        int* hits = hits_.need(many.n + LANES);
        edges_ = 0;
        for (int i = 0; i < few.n; ++i) {
            const uint64_t* a = few.tight + (size_t)i * words;
            const int k = p.simple && words == 1 ? k_.near(*a, many.tight, many.n, hits)
                                                 : k_.meeting(a, many.tight, many.n, words, p.d - 1, hits);
            from_.keep(edges_ + k);
            to_.keep(edges_ + k);
            int* one = (swap ? to_ : from_).data.get() + edges_;
            int* other = (swap ? from_ : to_).data.get() + edges_;
            int kept = 0;
            for (int j = 0; j < k; ++j) {
                if (!p.simple &&
                    !is_edge(p, a, many.tight + (size_t)hits[j] * words, few.vertex[i], many.vertex[hits[j]]))
                    continue;
                one[kept] = few.vertex[i];
                other[kept++] = many.vertex[hits[j]];
            }
            edges_ += kept;
        }
    }

    static bool is_edge(const Polytope& p, const uint64_t* a, const uint64_t* b, int va, int vb) {
        const int words = p.words;
        if (count_bits(a, words) == p.d || count_bits(b, words) == p.d) return true;
        for (int v = 0; v < p.n; ++v) {
            if (v == va || v == vb) continue;
            const uint64_t* t = p.tight + (size_t)v * words;
            bool on_all = true;
            for (int w = 0; w < words && on_all; ++w) on_all = (a[w] & b[w] & ~t[w]) == 0;
            if (on_all) return false;
        }
        return true;
    }

    void meet(const Polytope& p, const double* z, double shift) {
        const int words = p.words, d = p.d;
        points_.need((size_t)edges_ * (d + 1));
        common_.need((size_t)edges_ * words);
        double* t = points_ + (size_t)edges_ * d;
        for (int e = 0; e < edges_; ++e) {
            const int u = from_[e], v = to_[e];
            t[e] = (z[u] - shift) / (z[u] - z[v]);
            for (int w = 0; w < words; ++w)
                common_[(size_t)e * words + w] = p.tight[(size_t)u * words + w] & p.tight[(size_t)v * words + w];
        }
        for (int a = 0; a < d; ++a) {
            const double* x = p.x + (size_t)a * p.ldx;
            double* to = points_ + (size_t)a * edges_;
            for (int e = 0; e < edges_; ++e) to[e] = x[from_[e]] + t[e] * (x[to_[e]] - x[from_[e]]);
        }
    }

    // A vertex within tol that has too few facets on this side is no vertex of it: it lies on the new facet, nearly.
    const std::vector<int>& zeros_of(const Polytope& p, const Side& side, const std::vector<int>& zeros) {
        zeros_.clear();
        for (int v : zeros) {
            int k = 1;
            for (int w = 0; w < p.words; ++w) k += std::popcount(p.tight[(size_t)v * p.words + w] & side.facets[w]);
            if (k >= p.d) zeros_.push_back(v);
        }
        return zeros_;
    }

    void build(const Polytope& p, const Side& side, const std::vector<int>& all_zeros, int place, int words,
               Polytope& out) {
        const auto& zeros = all_zeros.empty() ? all_zeros : zeros_of(p, side, all_zeros);
        const int d = p.d, strict = side.n, nz = (int)zeros.size();
        out.shape(d, strict + nz + edges_, words, p.labelled);
        for (int a = 0; a < d; ++a) {
            const double* from = p.x + (size_t)a * p.ldx;
            double* to = out.x + (size_t)a * out.ldx;
            for (int i = 0; i < strict; ++i) to[i] = from[side.vertex[i]];
            to += strict;
            for (int i = 0; i < nz; ++i) to[i] = from[zeros[i]];
            std::copy_n(points_ + (size_t)a * edges_, edges_, to + nz);
        }
        out.pad();
        std::copy_n(side.tight.data.get(), (size_t)strict * words, out.tight.data.get());
        uint64_t* to = out.tight + (size_t)strict * words;
        const uint64_t bit = uint64_t(1) << (place % 64);
        const int word = place / 64;
        for (int v : zeros) {
            for (int w = 0; w < words; ++w) to[w] = p.tight[(size_t)v * words + w] & side.facets[w];
            to[word] |= bit;
            to += words;
        }
        std::copy_n(common_.data.get(), (size_t)edges_ * words, to);
        for (int e = 0; e < edges_; ++e) to[(size_t)e * words + word] |= bit;
        std::copy_n(side.facets.data(), words, out.facets.data.get());
        out.simple = p.simple && nz == 0;
    }

    void finish(const Polytope& p, int place, Label name, const double* g, double h, double sign, Polytope& out) {
        out.copy_faces(p);
        out.facets[place / 64] |= uint64_t(1) << (place % 64);
        out.set_face(place, name, g, h, sign);
        if (!out.simple) out.simple = out.is_simple();
        if (out.words > 1) narrow(out);
    }

    // Fewer words when there are few facets left.
    void narrow(Polytope& p) {
        const int count = count_bits(p.facets, p.words), words = (count + 16) / 64 + 1;
        if (words >= p.words) return;
        std::vector<int> place(64 * (size_t)p.words, -1);
        int next = 0;
        each_bit(p.facets, p.words, [&](int old) { place[old] = next++; });
        Polytope& to = narrow_;
        to.shape(p.d, p.n, words, p.labelled);
        to.simple = p.simple;
        std::copy_n(p.x.data.get(), (size_t)p.d * p.ldx, to.x.data.get());
        std::fill_n(to.tight.data.get(), (size_t)p.n * words, uint64_t(0));
        std::fill_n(to.facets.data.get(), words, uint64_t(0));
        for (int v = 0; v < p.n; ++v)
            each_bit(p.tight + (size_t)v * p.words, p.words, [&](int old) {
                to.tight[(size_t)v * words + place[old] / 64] |= uint64_t(1) << (place[old] % 64);
            });
        each_bit(p.facets, p.words, [&](int old) {
            const int at = place[old];
            to.facets[at / 64] |= uint64_t(1) << (at % 64);
            if (!p.labelled) return;
            to.label[at] = p.label[old];
            std::copy_n(p.plane + (size_t)old * (p.d + 1), p.d + 1, to.plane + (size_t)at * (p.d + 1));
        });
        std::swap(p, to);
    }
};

}  // namespace pellucid
