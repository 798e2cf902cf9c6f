// Cells of the search engine, and small polytopes by their rows.
#pragma once
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "arena.hpp"
#include "search.hpp"

namespace pellucid {

// out = A s + a over the k columns `columns` of A, for `comps` components: s[c * lds + column], the last one with the
// bias.
inline void product(const SearchKernels& kernel, const Affine& A, const int* columns, int k, const double* s, int lds,
                    int comps, double* out) {
    if (!A.sparse) return kernel.product(A.tiles.data(), A.rows, A.cols, columns, k, s, lds, comps, A.bias.data(), out);
    std::fill(out, out + (size_t)comps * A.ld, 0.0);
    std::copy(A.bias.begin(), A.bias.end(), out + (size_t)(comps - 1) * A.ld);
    for (int c = 0; c < comps; ++c)
        for (int q = 0; q < k; ++q) {
            const double f = s[(size_t)c * lds + columns[q]];
            if (f != 0)
                for (int64_t e = A.col_ptr[columns[q]]; e < A.col_ptr[columns[q] + 1]; ++e)
                    out[(size_t)c * A.ld + A.col_row[e]] += A.col_val[e] * f;
        }
}

// How far a row of the domain may lie from a corner of the box that it is meant to touch: terms is the sum of the sizes
// that its offset is made of, which far from the origin, or in a small box, are much larger than the row's length.
inline double touching(double norm, double terms) { return 1e-12 * norm + 8 * 2.3e-16 * terms; }

// A vertex of a cell, with its basis (search_kernels.hpp), and the values there of the open lines.
struct Witness {
    const double* vertex;
    double* z;
};

// Halfspaces of a stage over a cell. Elementwise: normed so that g is a unit vector (norm: its length before), with the
// level taken from h; `tol` is what a vertex must exceed to be on a side, `floor` the rounding part of it. Selections:
// the members of the open groups as they are.
struct Lines {
    int n = 0, ld = 0;
    double *map = nullptr, *norm = nullptr, *tol = nullptr, *floor = nullptr;
    int* id = nullptr;
    bool labels = false;  // thresholds of outputs
};

struct Group {
    int output, begin, end;
};

// A cell on its way through the chain: the pieces of all units of the first `stage` stages are known, but for those of
// open lines and groups. What the pointers show belongs to an arena and is shared with ancestors, except `map` when
// owns_map.
struct Node {
    int stage = 0;  // stages entered; those beyond the last are the steps of the split by outputs
    int cuts = 0;   // halfspaces on the stack
    int n_open = 0, n_groups = 0, n_witness = 0, n_own = 0;
    int first = -1, second = -1;
    bool owns_map = false;
    double share = 1;       // of the search, every cut halving it
    double* map = nullptr;  // rows of the next stage, as if open units were on their lowest piece
    double* outputs = nullptr;
    uint64_t* code = nullptr;  // pieces so far; open units stand at their lowest piece
    Lines lines;
    int* open = nullptr;
    Group* groups = nullptr;
    Witness* witness = nullptr;
    double* own = nullptr;  // cuts that are not on the stack yet: a, b, stretch
    int n_raised = 0;       // large maps: what is to be added to `map` when the stage is done, as (line, column)
    int* raised = nullptr;
    double distance = 0;  // nearest-first: at least that far from the centre
    const double* foot = nullptr;
};

// A cell that owns all it refers to.
struct SearchTask {
    Arena arena{1024};
    Cuts cuts;
    Node node;
    int line = -1;

    explicit SearchTask(int d) : cuts(d) {}

    SearchTask(const Node& from, int line_, const Cuts& all, int d, size_t map_size, int words)
        : cuts(all), node(from), line(line_) {
        cuts.truncate(from.cuts);
        const Lines& l = from.lines;
        node.map = copy(from.map, map_size);
        node.outputs = copy(from.outputs, map_size);
        node.owns_map = true;
        node.code = copy(from.code, words);
        node.lines.map = copy(l.map, (size_t)(d + 1) * l.ld);
        node.lines.norm = copy(l.norm, l.ld);
        node.lines.tol = copy(l.tol, l.ld);
        node.lines.floor = copy(l.floor, l.ld);
        node.lines.id = copy(l.id, l.ld);
        node.open = copy(from.open, from.n_open);
        node.raised = copy(from.raised, 2 * (size_t)from.n_raised);
        node.groups = copy(from.groups, from.n_groups);
        node.foot = copy(from.foot, Foot::size(d));
        node.own = copy(from.own, (size_t)from.n_own * (d + 2));
        node.witness = copy(from.witness, from.n_witness);
        for (int w = 0; w < from.n_witness; ++w) {
            node.witness[w].vertex = copy(from.witness[w].vertex, Vertex::size(d));
            node.witness[w].z = copy(from.witness[w].z, l.norm ? l.ld : 0);
        }
    }

    double share() const { return node.share; }
    double distance() const { return node.distance; }

  private:
    template <class T>
    std::remove_const_t<T>* copy(T* from, size_t n) {
        if (!from || !n) return nullptr;
        auto* to = arena.take_as<std::remove_const_t<T>>(n);
        std::memcpy(to, from, n * sizeof(T));
        return to;
    }
};

// The centre and radius of the largest ball in { x : a x <= b } (no box), from any point x: a.centre + weight radius <=
// b, weight (or null: 1) the length of each row's normal. False where the simplex did not end, or the set is unbounded.
bool chebyshev(const Halfspaces& rows, const double* weight, const double* x, double* centre, double* radius);

// The rows of a cell, with those of the box.
Cuts with_box(const Cuts& cuts, int d, double box);

// The whole domain { G u <= h } as a cell.
std::unique_ptr<SearchTask> root_cell(const SearchProblem& problem, const double* G, const double* h, int rows);

}  // namespace pellucid
