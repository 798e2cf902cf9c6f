// How far cells are from a point: what the search needs to look only at what is near.
#pragma once
#include <atomic>
#include <cmath>
#include <mutex>
#include <queue>
#include <vector>

#include "search_kernels.hpp"

namespace pellucid {

class Cuts;

// Distances are |w (v - centre)|_p in the kernel's coordinates v, with a weight for each coordinate. Shared by all
// threads; `radius` shrinks to the keep-th distance found.
class Nearness {
  public:
    enum class Norm { one, two, infinite };

    Nearness(Norm norm, std::vector<double> centre, std::vector<double> weight, double radius, int64_t keep, int avoid,
             int only)
        : norm(norm),
          centre(std::move(centre)),
          weight(std::move(weight)),
          avoid(avoid),
          only(only),
          radius_(radius),
          keep_(keep) {}

    const Norm norm;
    const std::vector<double> centre, weight;
    const int avoid, only;  // pieces with this `first` are not asked for, or no others; -1: all are

    bool wants(int first) const { return first < 0 || (first != avoid && (only < 0 || first == only)); }
    bool is_choosy() const { return avoid >= 0 || only >= 0; }

    double radius() const { return radius_.load(std::memory_order_relaxed); }

    // A region was found at this distance.
    void found(double distance) {
        if (keep_ <= 0 || distance >= radius()) return;
        std::lock_guard lock(mutex_);
        nearest_.push(distance);
        if ((int64_t)nearest_.size() > keep_) nearest_.pop();
        if ((int64_t)nearest_.size() == keep_) radius_ = std::min(radius(), nearest_.top() * (1 + 1e-12));
    }

  private:
    std::atomic<double> radius_;
    const int64_t keep_;  // 0: all within the radius
    std::mutex mutex_;
    std::priority_queue<double> nearest_;  // the farthest on top
};

// The point of a cell that is nearest to the centre, as it is kept with the cell: y = w (v - centre) (d); how many
// constraints hold it there; their numbers, with multipliers that prove it. Numbers as in search_kernels.hpp, rows
// being cuts; negative: those of the norm (see Projector).
struct Foot {
    static size_t size(int d) { return 1 + 5 * (size_t)d; }
    static const double* y(const double* foot) { return foot; }
};

// One thread's projections of the centre onto cells. From the nearest point of a larger cell: constraints that it
// violates are taken in one after the other, so every step has a larger distance than the one before, and multipliers l
// >= 0 that prove it by duality:
//
//     n.y <= c for all rows   =>   |y|_p >= -l.c / |sum of l n|_q,   1/p + 1/q = 1
//
//     p = 2       Goldfarb & Idnani 1983 (dual active set), the Hessian being 1
//     p = 1, inf  the dual simplex on -t_i <= y_i <= t_i (p = inf: one t), minimising the sum of the t
class Projector {
  public:
    Projector(const Nearness& near, const SearchKernels& kernels);

    // The centre itself, as foot of a cell that holds it.
    void start(double* foot) const;

    // Is the foot beyond row number `row` of the cuts?
    bool is_beyond(const Cuts& cuts, int row, const double* foot) const;

    // A lower bound of the distance to { row holds }, from the row alone.
    double to_row(const double* a, int step, double sign, double b);

    // The foot of the cell, from that of a larger one: a proved lower bound of its distance (beyond `stop` the
    // first that was met).
    double project(const Cuts& cuts, const double* from, double* to, double stop);

    // |y|_p
    double length(const double* y) const;

  private:
    const Nearness& near_;
    const SearchKernels& k_;
    const int d_;
    const int most_;  // constraints that can hold a foot
    std::vector<double> y_, v_, slack_;
    std::vector<int> ids_;
    std::vector<double> multiplier_;
    std::vector<double> normals_, gram_, rhs_, step_, z_;     // p = 2
    std::vector<double> basis_, inverse_, side_, x_, alpha_;  // p = 1, inf

    void normal(const Cuts& cuts, int id, double* n) const;
    double offset(const Cuts& cuts, int id) const;
    double dual_length(const double* g) const;
    double bound(const Cuts& cuts) const;
    int worst_row(const Cuts& cuts, double* violation);
    double euclidean(const Cuts& cuts, double stop);
    bool factor(int k);
    void solve(int k, double* x) const;
    void settle(const Cuts& cuts);
    double polyhedral(const Cuts& cuts, double stop);
    void lifted(const Cuts& cuts, int id, double* row, double* rhs) const;
    bool invert(const Cuts& cuts);
    int worst_lifted(const Cuts& cuts);
    void first_basis();
};

}  // namespace pellucid
