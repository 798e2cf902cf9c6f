// All linear regions of a chain over a polytope of any dimension. Cells are kept by halfspaces; whether a unit crosses
// a cell is a linear programme.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "chain.hpp"
#include "final_split.hpp"
#include "nearest.hpp"
#include "rounding.hpp"
#include "search_kernels.hpp"
#include "search_output.hpp"

namespace pellucid {

// Halfspaces a.v <= b that cut the domain on the way down to a cell, laid out for the simplex. A stack: cells share
// what their common ancestors were cut with.
class Cuts {
  public:
    explicit Cuts(int d) : d_(d), dp_(packed(d)) { grow(64); }

    int size() const { return n_; }
    double stretch(int row) const { return stretch_[row]; }
    double b(int row) const { return b_[row]; }
    double a(int row, int i) const { return a_[(size_t)i * ld_ + row]; }

    // stretch: |a| in the kernel's coordinates over |a| in the caller's.
    void push(const double* a, int step, double sign, double b, double stretch) {
        if (n_ == ld_) grow(2 * ld_);
        if (n_ % PACK == 0) clear(n_, n_ + PACK);
        for (int i = 0; i < d_; ++i) a_[(size_t)i * ld_ + n_] = sign * a[(size_t)i * step];
        b_[n_] = b;
        stretch_[n_++] = stretch;
    }
    void truncate(int n) {
        if (n < n_) clear(n, std::min(packed(n), n_));
        n_ = std::min(n, n_);
    }
    Halfspaces rows(double box) const { return {d_, dp_, n_, ld_, a_.data(), b_.data(), box}; }

  private:
    int d_, dp_, n_ = 0, ld_ = 0;
    std::vector<double> a_, b_, stretch_;

    void clear(int from, int to) {
        for (int i = 0; i < d_; ++i)
            std::fill(a_.begin() + (size_t)i * ld_ + from, a_.begin() + (size_t)i * ld_ + to, 0.0);
        std::fill(b_.begin() + from, b_.begin() + to, 0.0);
    }
    void grow(int ld) {
        std::vector<double> a((size_t)d_ * ld, 0.0);
        for (int i = 0; i < d_; ++i)
            std::copy(a_.begin() + (size_t)i * ld_, a_.begin() + (size_t)i * ld_ + n_, a.begin() + (size_t)i * ld);
        a_.swap(a);
        b_.resize(ld, 0.0);
        stretch_.resize(ld, 1.0);
        ld_ = ld;
    }
};

// v in [-1, 1]^d to the caller's u = c + h v.
struct SpaceFrame {
    std::vector<double> c, h;
};

// A breakpoint of a unit that is not decided over the whole domain.
struct BreakLine {
    int row;
    double level, slope, offset;  // from the piece below to the one above: the changes of slope and offset
};

// What of a stage is the same in all cells.
struct StagePlan {
    std::vector<int> base;  // elementwise: the piece of each output if all of `lines` are on their lower side
    std::vector<BreakLine> lines;
    std::vector<int> rows;  // of the lines
    std::vector<double> levels, floors;
    std::vector<uint64_t> code;  // the base pieces as code words
    std::vector<int> groups;     // selection: outputs with more than one member
};

struct SearchDecisions {
    int64_t unresolved = 0;  // decisions against a vertex that was within tolerance
    double thickness = 0;    // the largest distance of such a vertex from the hyperplane, kernel coordinates
    int64_t ties = 0, regions = 0, programmes = 0, pivots = 0, cells = 0, rescued = 0;
};

struct SearchProblem {
    std::shared_ptr<const Chain> chain;
    int d = 0;
    SpaceFrame frame;
    FinalSplit split;
    std::vector<std::vector<double>> floors;  // of every row of every stage, then of the outputs
    double geometric = 0;                     // distance below which slivers are not cut off, kernel coordinates
    double deep = 1e-9;                       // inner points are that far from all faces, if they can be
    std::vector<StagePlan> plans;
    StagePlan outputs;  // labels: the thresholds
    bool maps = true, rows = true;
    std::unique_ptr<Nearness> near;  // only regions within a distance are asked for
    int domain_cuts = 0;             // of a region's halfspaces, the first, which are the domain's
    std::vector<double> watched;     // what the RoundingWatch begins from; empty: none
};

struct SearchTask;
using SearchPool = BasicPool<SearchTask, SearchOutput>;

class SearchRun {
  public:
    // centre, half: the bounding box of the polytope { G u <= h }. floors: rounding bounds times the rounding factor.
    // lower, upper: bounds of every row of every stage over the domain. start: a point inside the polytope, or null.
    // keep_cuts: the halfspaces that made each region are columns too. watched: see RoundingWatch.
    SearchRun(std::shared_ptr<const Chain> chain, std::vector<double> centre, std::vector<double> half, const double* G,
              const double* h, int rows, std::vector<std::vector<double>> floors,
              const std::vector<std::vector<double>>& lower, const std::vector<std::vector<double>>& upper,
              double geometric, FinalSplit split, bool maps, bool keep_rows, bool keep_cuts, const double* start,
              std::vector<double> watched, Budget budget, std::unique_ptr<Nearness> near = nullptr);
    ~SearchRun();

    void start();
    bool wait(double seconds) { return pool_->wait(seconds); }
    void cancel() { pool_->cancel("cancelled"); }
    void finish() { pool_->finish(); }

    SearchPool& pool() { return *pool_; }
    const SearchDecisions& decisions() const { return decisions_; }
    const std::vector<std::vector<double>>& errors() const { return errors_; }
    const SearchProblem& problem() const { return problem_; }

  private:
    void plan(const std::vector<std::vector<double>>& lower, const std::vector<std::vector<double>>& upper);
    void work(SearchPool& pool);

    SearchProblem problem_;
    std::unique_ptr<SearchTask> root_;
    std::unique_ptr<SearchPool> pool_;
    std::mutex mutex_;
    SearchDecisions decisions_;
    std::vector<std::vector<double>> errors_;
};

}  // namespace pellucid
