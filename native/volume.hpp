// Exact volumes of polytopes.
#pragma once
#include "polytope.hpp"

namespace pellucid {

// Exact volume by cones: the polytope is divided into the cones from a vertex over the facets that do not hold it, each
// facet in the same way, down to edges (Cohen and Hickey 1979). Before a face is divided its coordinates are projected
// along the vector to its own apex, which is one step of Gaussian elimination done for many simplices at once.
// All terms are positive: nothing cancels.
class ConeVolume {
  public:
    double operator()(const Polytope& p) {
        p_ = &p;
        sets_ = (p.n + 63) / 64;
        prepare(p);
        // cones from vertex 0
        double* y = level_[p.d].need((size_t)p.n * p.d);
        for (int v = 0; v < p.n; ++v)
            for (int a = 0; a < p.d; ++a) y[(size_t)v * p.d + a] = p.at(v, a) - p.at(0, a);
        uint64_t* whole = face_[p.d].need(sets_);
        std::fill_n(whole, sets_, ~uint64_t(0));
        if (p.n % 64) whole[sets_ - 1] = (uint64_t(1) << (p.n % 64)) - 1;
        double sum = over_faces(p.d, whole, 0, y);
        for (int k = 2; k <= p.d; ++k) sum /= k;
        return sum;
    }

  private:
    const Polytope* p_ = nullptr;
    int sets_ = 1;
    std::vector<Buffer<double>> level_;
    std::vector<Buffer<uint64_t>> face_, candidates_;
    Buffer<uint64_t> members_;  // vertices of the facet at each place

    void prepare(const Polytope& p) {
        if ((int)level_.size() <= p.d) level_.resize(p.d + 1), face_.resize(p.d + 1), candidates_.resize(p.d + 1);
        const int places = 64 * p.words;
        members_.need((size_t)places * sets_);
        each_bit(p.facets, p.words, [&](int f) { std::fill_n(members_ + (size_t)f * sets_, sets_, uint64_t(0)); });
        for (int v = 0; v < p.n; ++v)
            each_bit(p.tight + (size_t)v * p.words, p.words,
                     [&](int f) { members_[(size_t)f * sets_ + v / 64] |= uint64_t(1) << (v % 64); });
    }

    // Sum of the cones over the facets of face F (dimension k) that do not hold its vertex `apex`. y: k coordinates of
    // every vertex of F, from the common apex of all cones so far.
    double over_faces(int k, const uint64_t* F, int apex, const double* y) {
        double sum = 0;
        uint64_t* G = face_[k - 1].need(sets_);
        const int words = p_->words;
        uint64_t* near = candidates_[k - 1].need(words);
        std::fill_n(near, words, uint64_t(0));
        each_bit(F, sets_, [&](int v) {
            for (int w = 0; w < words; ++w) near[w] |= p_->tight[(size_t)v * words + w];
        });
        for (int w = 0; w < words; ++w) near[w] &= ~p_->tight[(size_t)apex * words + w];
        each_bit(near, words, [&](int f) {
            const uint64_t* mine = members_ + (size_t)f * sets_;
            for (int s = 0; s < sets_; ++s) G[s] = F[s] & mine[s];
            if (p_->simple || is_facet(k, F, G, f)) sum += cone(k - 1, G, y);
        });
        return sum;
    }

    // Is G, the part of F on facet f, a facet of F? Largest of its kind, and the first place that gives it.
    bool is_facet(int k, const uint64_t* F, const uint64_t* G, int f) const {
        if (count_bits(G, sets_) < k) return false;
        bool largest = true;
        each_bit(p_->facets, p_->words, [&](int o) {
            if (o == f || !largest) return;
            const uint64_t* other = members_ + (size_t)o * sets_;
            bool holds_F = true, holds_G = true, equal = true;
            for (int s = 0; s < sets_; ++s) {
                holds_F &= (F[s] & ~other[s]) == 0;
                holds_G &= (G[s] & ~other[s]) == 0;
                equal &= G[s] == (F[s] & other[s]);
            }
            if (!holds_F && holds_G && (!equal || o < f)) largest = false;
        });
        return largest;
    }

    // k! times the volume of the cone from the origin over a face of dimension k; y has k + 1 coordinates.
    double cone(int k, const uint64_t* G, const double* y) {
        if (k == 1) return edge(G, y);
        const int apex = first(G);
        const double* a = y + (size_t)apex * (k + 1);
        int pivot = 0;
        for (int i = 1; i <= k; ++i)
            if (std::abs(a[i]) > std::abs(a[pivot])) pivot = i;
        if (a[pivot] == 0) return 0;
        const double inverse = 1 / a[pivot];
        double* to = level_[k].need((size_t)p_->n * k);
        each_bit(G, sets_, [&](int v) {
            const double* from = y + (size_t)v * (k + 1);
            double* mine = to + (size_t)v * k;
            const double t = from[pivot] * inverse;
            for (int i = 0; i < pivot; ++i) mine[i] = from[i] - t * a[i];
            for (int i = pivot; i < k; ++i) mine[i] = from[i + 1] - t * a[i + 1];
        });
        return std::abs(a[pivot]) * over_faces(k, G, apex, to);
    }

    int first(const uint64_t* G) const {
        for (int s = 0; s < sets_; ++s)
            if (G[s]) return 64 * s + std::countr_zero(G[s]);
        return 0;
    }

    double edge(const uint64_t* G, const double* y) const {
        int ends[8], n = 0;
        each_bit(G, sets_, [&](int v) {
            if (n < 8) ends[n++] = v;
        });
        double most = 0;  // more than two only where tolerances made vertices that nearly coincide
        for (int i = 0; i < n; ++i)
            for (int j = 0; j < i; ++j) {
                const double *a = y + 2 * (size_t)ends[i], *b = y + 2 * (size_t)ends[j];
                most = std::max(most, std::abs(a[0] * b[1] - a[1] * b[0]));
            }
        return most;
    }
};

class Volume {
  public:
    explicit Volume(const VertexKernels& kernels) : k_(kernels), scratch_(VOLUME_SCRATCH) {}

    double operator()(const Polytope& p) {
        if (p.simple && p.words == 1) {
            const double found = k_.volume(p.x, p.ldx, p.n, p.d, p.tight, p.facets[0], scratch_.data());
            if (found >= 0) return found;
        }
        if (p.d > 1) return any_(p);
        const auto [lo, hi] = std::minmax_element(p.x.data.get(), p.x.data.get() + p.n);
        return *hi - *lo;
    }

  private:
    const VertexKernels& k_;
    std::vector<double> scratch_;
    ConeVolume any_;
};

}  // namespace pellucid
