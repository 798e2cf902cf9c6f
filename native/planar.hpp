// All linear regions of a chain over a convex polygon in the plane.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chain.hpp"
#include "envelope.hpp"
#include "final_split.hpp"
#include "output.hpp"
#include "rounding.hpp"

namespace pellucid {

// A cell on its way through the chain: a polygon on which the pieces of all units of the first `stage` stages are
// known, but for those of `open`.
struct Cell {
    int stage = 0;  // stages entered
    Polygon cell;
    Buffer<uint64_t> code;  // pieces so far; open units stand at their lowest piece
    Buffer<double> map;     // of the rows of the next stage, as if open units were on their lowest piece
    bool has_map = false;

    // Open lines z = t of the stage entered last, by row: gx x + gy y + h is z - t.
    // In a selection stage: the members (h is that of z) of the open groups, those of group[i] from start[i] on.
    int lines = 0;
    Buffer<double> gx, gy, h, floor, tol;
    Buffer<int> id;
    int groups = 0;
    Buffer<int> group, start;

    bool is_open() const { return lines > 0; }
};

struct Decisions {
    Merged merged;     // decided against a vertex that was within tolerance
    int64_t ties = 0;  // pieces on which two outputs are equal throughout
};

// What all threads of a run read.
struct Problem {
    std::shared_ptr<const Chain> chain;
    Frame frame;
    FinalSplit split;
    std::vector<std::vector<double>> floors;  // rounding floor of every row of every stage, then of the outputs; padded
    double geometric;                         // distance below which slivers are not cut off, in kernel coordinates
    double whole;                             // area of the polygon there
    std::vector<double> watched;              // what the RoundingWatch begins from; empty: none
};

template <class Task>
using Pool = BasicPool<Task, PlanarOutput>;

class PlanarRun {
  public:
    // frame: lower, then upper corner of the box that is [-1, 1]^2 to the kernel, or null: the polygon's bounding box.
    // floors: a-priori rounding bounds already multiplied by the rounding factor. watched: see RoundingWatch.
    PlanarRun(std::shared_ptr<const Chain> chain, const double* polygon, int corners, const double* frame,
              std::vector<std::vector<double>> floors, double geometric, FinalSplit split, std::vector<double> watched,
              Budget budget);

    void start();
    bool wait(double seconds) { return pool_->wait(seconds); }
    void cancel() { pool_->cancel("cancelled"); }
    void finish() { pool_->finish(); }

    Pool<Cell>& pool() { return *pool_; }
    Decisions decisions() const { return decisions_; }
    const std::vector<std::vector<double>>& errors() const { return errors_; }
    const Problem& problem() const { return problem_; }
    Shape shape() const;

  private:
    void work(Pool<Cell>& pool);

    Problem problem_;
    std::unique_ptr<Cell> root_;
    std::unique_ptr<Pool<Cell>> pool_;
    std::mutex mutex_;
    Decisions decisions_;
    std::vector<std::vector<double>> errors_;
};

}  // namespace pellucid
