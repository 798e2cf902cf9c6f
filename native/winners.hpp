// Which of several affine functions is the largest where on a polytope: one part for each function that wins somewhere.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "polytope.hpp"

namespace pellucid {

// The functions z_i = g.x + h, each d + 1 doubles and then its rounding floor, `stride` doubles apart.
struct Affines {
    int n = 0, stride = 0;
    const double* line = nullptr;

    const double* operator[](int i) const { return line + (size_t)i * stride; }
    double floor(int i, int d) const { return (*this)[i][d + 1]; }
};

class Winners {
  public:
    struct Part {
        int winner = 0;
        Polytope cell;            // facets towards another part are labelled TOWARDS + its winner
        std::vector<int> cut_by;  // other functions that took something
    };

    static constexpr Label TOWARDS = INT64_MIN / 2;
    static bool is_inner(Label label) { return label < INT64_MIN / 4; }

    Winners(const VertexKernels& kernels, bool snaps) : k_(kernels), cutter_(kernels, snaps) {}

    bool met_vertices() const { return cutter_.met_vertices; }

    int size() const { return count_; }
    Part& operator[](int i) { return *parts_[i]; }

    // What was decided against a vertex because it was within tolerance: how often, and at most how deep.
    int64_t merged = 0;
    double depth = 0;

    // The winner everywhere (first of equals), or -1 if no function is the largest at all vertices up to rounding.
    int single(const Polytope& p, const Affines& f) {
        measure(p, f);
        int w = 0;
        for (int b = 1; b < f.n; ++b) {
            const double floor = f.floor(w, p.d) + f.floor(b, p.d);
            bool above = false, below = false;
            for (int v = 0; v < p.n; ++v) {
                const double excess = z(b, v) - z(w, v);
                above |= excess > floor;
                below |= excess < -floor;
            }
            if (above && below) return -1;
            if (above) w = b;
        }
        return w;
    }

    // Divides p into the parts of its winners, in their order. A part is p cut by its winner's differences to all
    // others; those which so lose everywhere (they win in slivers only) are left out and the rest is divided anew, so
    // that the parts cover p.
    void build(const Polytope& p, const Affines& f, double geometric) {
        merged = 0;
        depth = 0;
        candidates_.resize(f.n);
        for (int i = 0; i < f.n; ++i) candidates_[i] = i;
        do count_ = 0;
        while (!divide(p, f, geometric) && count_ > 0);
        if (count_ == 0) all_to_best(p, f);
    }

  private:
    const VertexKernels& k_;
    Cutter cutter_;
    int count_ = 0, ldx_ = 0;
    std::vector<std::unique_ptr<Part>> parts_;
    std::vector<int> candidates_, left_;
    std::vector<std::pair<double, int>> rivals_;  // slope of the difference, which
    std::vector<bool> lost_;
    std::vector<double> values_, difference_, excess_;
    Polytope scratch_;

    double z(int i, int v) const { return values_[(size_t)i * ldx_ + v]; }

    void measure(const Polytope& p, const Affines& f) {
        ldx_ = p.ldx;
        values_.resize((size_t)f.n * ldx_);
        double lo, hi;
        for (int i = 0; i < f.n; ++i) k_.values(f[i], p.d, p.x, p.ldx, values_.data() + (size_t)i * ldx_, &lo, &hi);
    }

    // One round over the candidates; false when one of them lost that has cut a winner.
    bool divide(const Polytope& p, const Affines& f, double geometric) {
        left_.clear();
        lost_.assign(f.n, false);
        for (int w : candidates_) {
            if ((int)parts_.size() == count_) parts_.push_back(std::make_unique<Part>());
            Part& part = *parts_[count_];
            part.winner = w;
            part.cell.copy(p);
            lost_[w] = !cut_by_others(part, f, geometric);
            if (lost_[w]) continue;
            left_.push_back(w);
            ++count_;
        }
        std::swap(candidates_, left_);  // in a later round nobody new can win
        for (int i = 0; i < count_; ++i)
            for (int o : parts_[i]->cut_by)
                if (lost_[o]) return false;
        return true;
    }

    // Rivals are tried in the order of their likeness, and each pair by one and the same difference: two functions that
    // are nearly equal so part the same polytope along the same hyperplane, before others have cut it differently.
    // (Otherwise each of them could be given, or denied, what lies between them within the tolerance.)
    bool cut_by_others(Part& part, const Affines& f, double geometric) {
        const int w = part.winner, d = part.cell.d;
        part.cut_by.clear();
        difference_.resize(d + 1);
        rivals_.clear();
        for (int o : candidates_)
            if (o != w) rivals_.push_back({slope(f, w, o, d), o});
        std::sort(rivals_.begin(), rivals_.end());
        for (const auto& [norm, o] : rivals_) {
            const bool is_first = w < o;
            const double *a = is_first ? f[w] : f[o], *b = is_first ? f[o] : f[w];
            for (int i = 0; i <= d; ++i) difference_[i] = a[i] - b[i];
            const double floor = f.floor(w, d) + f.floor(o, d), tol = geometric * norm + floor;
            Polytope& cell = part.cell;
            excess_.resize(cell.ldx);
            double lo, hi;
            k_.values(difference_.data(), d, cell.x, cell.ldx, excess_.data(), &lo, &hi);
            if (hi > tol && lo < -tol) {
                const Knife knife{difference_.data(), tol, floor, TOWARDS + o, TOWARDS + o};
                cutter_.cut(cell, excess_.data(), knife, is_first ? &scratch_ : nullptr,
                            is_first ? nullptr : &scratch_);
                std::swap(cell, scratch_);
                part.cut_by.push_back(o);
            } else if (!(is_first ? keeps(lo, hi, floor, norm, true) : keeps(-hi, -lo, floor, norm, false))) {
                return false;
            }
        }
        return true;
    }

    static double slope(const Affines& f, int i, int j, int d) {
        double square = 0;
        for (int a = 0; a < d; ++a) square += (f[i][a] - f[j][a]) * (f[i][a] - f[j][a]);
        return std::sqrt(square);
    }

    // No cut: the larger side has all; equal functions go to the first.
    bool keeps(double lo, double hi, double floor, double norm, bool is_first) {
        const bool wins = hi > floor, loses = lo < -floor;
        if (!wins && !loses) return is_first;
        if (wins && loses) {
            ++merged;
            depth = std::max(depth, (std::min(hi, -lo) + floor) / norm);
            return hi == -lo ? is_first : hi > -lo;
        }
        return wins;
    }

    void all_to_best(const Polytope& p, const Affines& f) {
        measure(p, f);
        int best = 0;
        double most = -INFINITY;
        for (int i = 0; i < f.n; ++i) {
            double sum = 0;
            for (int v = 0; v < p.n; ++v) sum += z(i, v);
            if (sum > most) most = sum, best = i;
        }
        if (parts_.empty()) parts_.push_back(std::make_unique<Part>());
        parts_[0]->winner = best;
        parts_[0]->cell.copy(p);
        count_ = 1;
    }
};

}  // namespace pellucid
