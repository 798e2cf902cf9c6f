// Minimal halfspaces of given regions, what lies behind each, and the largest balls inside.
#pragma once
#include <memory>
#include <vector>

#include "chain.hpp"
#include "final_split.hpp"
#include "search.hpp"

namespace pellucid {

// The domain { G u <= h } in the coordinates v of its bounding box, u = c + h v.
struct FacetProblem {
    std::shared_ptr<const Chain> chain;
    SpaceFrame frame;
    std::vector<int> box_row;  // the row of G that face 2 i (v_i <= 1) or 2 i + 1 (-v_i <= 1) of the box is, or -1
    Cuts domain;               // the other rows of G that cut the box
    std::vector<int> domain_row;
    std::vector<std::vector<double>> floors;  // of every row of every stage, then of the outputs
    FinalSplit split;

    FacetProblem(std::shared_ptr<const Chain> chain, SpaceFrame frame, const double* G, const double* h, int rows,
                 std::vector<std::vector<double>> floors, FinalSplit split);
};

// Regions asked about, in columns (search_output.hpp); first and second may be null.
struct RegionList {
    size_t count;
    const uint64_t* codes;
    const double* points;  // inside each region, in u
    const int32_t *first, *second;
};

struct FacetColumns {
    Column<int64_t> counts;  // facets of each region
    Column<double> A, b;     // unit normals in u
    Column<int32_t> column, low, high;
    Column<uint64_t> beyond;  // codes of the neighbours, where asked for
    Column<double> inner;     // with them a point inside each facet, in u; NaN in facets too thin to have one
    int64_t programmes = 0, doubtful = 0;
};

// column: the code column whose pieces `low` and `high` meet there; the number of columns where outputs low and high
// do; -1 - row on a row of G.
FacetColumns find_facets(const FacetProblem& problem, const RegionList& regions, bool neighbours, int threads);

// Centre (in u) and radius of the largest ball in each region.
void find_centres(const FacetProblem& problem, const RegionList& regions, int threads, double* centres, double* radii);

// Linear programmes over regions: for each, max of a direction.v over the region cut by `extra` rows a.v <= b, all in
// the coordinates v of the bounding box.
struct SupportQuestions {
    const double* directions;  // (count, d)
    int extra;                 // rows a region
    const double *A, *b;       // (count, extra, d), (count, extra)
    double geometric;          // how far halfspaces of units are moved outwards, beside the rounding
                               // of each; negative: not at all
};

// bounds: no point of the region is better, whatever the simplex did (weak duality); -inf where the extra rows leave
// nothing. values: attained at the points (in v); nan where none was found.
void find_support(const FacetProblem& problem, const RegionList& regions, const SupportQuestions& questions,
                  int threads, double* bounds, double* values, double* points);

}  // namespace pellucid
