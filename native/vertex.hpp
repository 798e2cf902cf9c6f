// All linear regions of a chain over a polytope of a few dimensions, by cells that know their vertices.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "chain.hpp"
#include "final_split.hpp"
#include "polytope.hpp"
#include "rounding.hpp"
#include "vertex_output.hpp"

namespace pellucid {

// A cell on its way through the chain: a polytope on which the pieces of all units of the first `stage` stages are
// known, but for the open ones.
struct VertexCell {
    int stage = 0;  // stages entered
    Polytope cell;
    double share = 1;       // of the domain, guessed by halving at each cut
    Buffer<uint64_t> code;  // pieces so far; open units stand at their lowest piece
    Buffer<double> map;     // of the rows of the next stage, as if open units were on their lowest piece
    bool has_map = false;

    // Open hyperplanes z = t of the stage entered last, by row: g.x + h is z - t, then floor and tolerance.
    // In a selection stage: the members (h is that of z) of the open groups, those of group[i] from start[i] on.
    int lines = 0;
    Buffer<double> line;  // d + 3 doubles each
    Buffer<int> id;
    int groups = 0;
    Buffer<int> group, start;

    bool is_open() const { return lines > 0; }
};

struct VertexDecisions {
    int64_t merged = 0;         // decided against a vertex that was within tolerance
    double volume = 0;          // at most what was so left with a neighbour
    int64_t ties = 0;           // pieces on which two outputs are equal throughout
    bool met_vertices = false;  // a cut went through a vertex
};

// What all threads of a run read.
struct VertexProblem {
    std::shared_ptr<const Chain> chain;
    int d = 0;
    BoxFrame frame;
    FinalSplit split;
    std::vector<std::vector<double>> floors;  // rounding floor of every row of every stage, then of the outputs; padded
    double geometric = 0;                     // distance below which slivers are not cut off, in kernel coordinates
    VertexShape shape;
    bool snaps = true;            // see Cutter
    std::vector<double> watched;  // what the RoundingWatch begins from; empty: none
};

// The bounded polytope { G u <= h } with lower <= u <= upper: the faces of that box are named by `names`, those with
// u_i <= upper_i first, the rows of G by their numbers.
struct VertexDomain {
    int d = 0, rows = 0;
    const double *lower = nullptr, *upper = nullptr, *G = nullptr, *h = nullptr;
    const int64_t *names = nullptr, *numbers = nullptr;
    const double* frame =
        nullptr;  // lower, then upper corner of what is [-1, 1]^d to the kernel; null: the bounding box
};

using VertexPool = BasicPool<VertexCell, VertexOutput>;

class VertexRun {
  public:
    // floors: a-priori rounding bounds already multiplied by the rounding factor. watched: see RoundingWatch.
    VertexRun(std::shared_ptr<const Chain> chain, const VertexDomain& domain, std::vector<std::vector<double>> floors,
              double geometric, FinalSplit split, VertexShape shape, bool snaps, std::vector<double> watched,
              Budget budget);

    void start();
    bool wait(double seconds) { return pool_->wait(seconds); }
    void cancel() { pool_->cancel("cancelled"); }
    void finish() { pool_->finish(); }

    VertexPool& pool() { return *pool_; }
    VertexDecisions decisions() const { return decisions_; }
    const std::vector<std::vector<double>>& errors() const { return errors_; }
    const VertexProblem& problem() const { return problem_; }
    double whole() const { return whole_; }  // volume of the domain, in u

  private:
    void work(VertexPool& pool);
    void make_root(const VertexDomain& domain);

    VertexProblem problem_;
    double whole_ = 0;
    std::unique_ptr<VertexCell> root_;
    std::unique_ptr<VertexPool> pool_;
    std::mutex mutex_;
    VertexDecisions decisions_;
    std::vector<std::vector<double>> errors_;
};

}  // namespace pellucid
