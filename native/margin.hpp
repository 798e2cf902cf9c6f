// Whether a decision is the same all over a cell, by bounds: what lets the search for another one leave out whole
// subtrees.
#pragma once
#include <functional>
#include <vector>

#include "cells.hpp"

namespace pellucid {

// Upper bounds, over the part of a cell within a radius, of by how much any other decision wins. Backward linear bounds
// (Zhang et al. 2018, CROWN) from the outputs down to the first stage that is not decided yet; there the cell's own
// maps are exact, and open units have the cell's own line. Pre-activations of that stage are bounded by linear
// functions of the input, those behind it by intervals. Linear functions are bounded over the ball and over the box,
// whichever is less, and what remains in the end over the cell itself, by a linear programme.
class Margins {
  public:
    explicit Margins(const SearchProblem& problem);

    // Is g.v below the limit in the whole cell?
    using Stays = std::function<bool(const double* g, double limit)>;

    // True when no point of the cell within the radius has a decision that is asked for: the bounds are below 0 by more
    // than rounding. False where that is not known.
    bool decided(const Node& cell, double radius, const Stays& stays);

    // The open line of the cell asked about last whose relaxation costs most; -1 where nothing is known.
    int loosest() const;

  private:
    // An output, or a difference of two, that is above 0 where another decision is made.
    struct Margin {
        int plus, minus;  // -1: none
        double sign, constant;
    };
    struct Bounds {
        std::vector<double> lo, hi;
    };
    // max(z, 0) of an open line z over the cell: scale times it is what the unit at `column` gives beyond its lower
    // piece.
    struct Excess {
        int column, line;
        double scale, lo, hi, floor, cost = 0;
        double upper() const { return hi <= 0 ? 0 : lo >= 0 ? 1 : hi / (hi - lo); }  // slopes; offset -lo upper
        double shift() const { return hi <= 0 || lo >= 0 ? 0 : -lo * upper(); }
        double lower() const { return hi > -lo ? 1 : 0; }
    };

    const SearchProblem& p_;
    const Chain& chain_;
    const int d_;
    std::vector<Margin> margins_;
    std::vector<Excess> excess_;
    std::vector<Bounds> bounds_;  // of the rows of each stage
    std::vector<double> g_, coef_, rows_, columns_, low_, high_;
    bool usable_ = true;

    // Whether bounding pays: cells of one stage and about one number of open units go alike.
    struct Trials {
        int64_t made = 0, won = 0, passed = 0;
    };
    std::vector<Trials> trials_;
    Trials& trials(const Node& cell);
    bool pays(Trials& t);

    bool prove(const Node& cell, double radius, const Stays& stays);
    bool open_lines(const Node& cell, double radius);
    double above(const double* g, double h, double radius) const;
    double entry(const Affine& A, int row, int column) const;
    void first_bounds(const Node& cell, double radius);
    void next_bounds(int stage);
    double bound(const Margin& m, const Node& cell, double radius, double& rest);
    void add_excess(const Node& cell, const double* coef, int rows, double& h, double& slack);
    void transposed(const Affine& A, const double* rows, double* columns) const;
};

}  // namespace pellucid
