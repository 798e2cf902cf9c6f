#include "cells.hpp"

namespace pellucid {

// One dimension more: (a, |a|).(x, r) <= b, and r as large as possible.
bool chebyshev(const Halfspaces& rows, const double* weight, const double* x, double* centre, double* radius) {
    const SearchKernels& k = search_kernels();
    const int d = rows.d, n = rows.n;
    Cuts lifted(d + 1);
    std::vector<double> a(d + 1), start(packed(d + 1)), c(packed(d + 1)), slack(packed(n) + PACK);
    for (int r = 0; r < n; ++r) {
        for (int i = 0; i < d; ++i) a[i] = rows.a[(size_t)i * rows.ld + r];
        a[d] = weight ? weight[r] : 1;
        lifted.push(a.data(), 1, 1.0, rows.b[r], 1.0);
    }
    k.slacks(rows, x, slack.data());
    std::copy(x, x + d, start.begin());
    start[d] = INFINITY;
    for (int r = 0; r < n; ++r)  // rows of weight 0 must hold at x
        if (!weight || weight[r] > 0) start[d] = std::min(start[d], slack[r] / (weight ? weight[r] : 1));
    c[d] = 1;
    const Halfspaces up = lifted.rows(INFINITY);
    std::vector<double> scratch(lp_scratch(d + 1, n)), vertex(Vertex::size(d + 1)), work(Vertex::size(d + 1));
    if (!k.to_vertex(up, start.data(), c.data(), vertex.data(), scratch.data())) return false;
    LpResult top = k.maximise(up, vertex.data(), work.data(), c.data(), INFINITY, scratch.data(), nullptr);
    if (top.status == LpStatus::stuck && k.refactor(up, vertex.data(), scratch.data()))
        top = k.maximise(up, vertex.data(), work.data(), c.data(), INFINITY, scratch.data(), nullptr);
    if (top.status != LpStatus::optimal) return false;
    const double* best = Vertex::x(top.pivots ? work.data() : vertex.data());
    std::copy(best, best + d, centre);
    *radius = best[d];
    return true;
}

Cuts with_box(const Cuts& cuts, int d, double box) {
    Cuts all(d);
    std::vector<double> a(d, 0.0);
    for (int i = 0; i < d; ++i)
        for (double sign : {1.0, -1.0}) {
            a[i] = sign;
            all.push(a.data(), 1, 1.0, box, 1.0);
            a[i] = 0;
        }
    for (int r = 0; r < cuts.size(); ++r) {
        for (int i = 0; i < d; ++i) a[i] = cuts.a(r, i);
        all.push(a.data(), 1, 1.0, cuts.b(r), cuts.stretch(r));
    }
    return all;
}

namespace {

// The rows that cut the box [-1, 1]^d, in its coordinates.
void push_domain(Cuts& cuts, const SpaceFrame& f, const double* G, const double* h, int rows) {
    const int d = (int)f.c.size();
    std::vector<double> a(d);
    for (int r = 0; r < rows; ++r) {
        double b = h[r], square = 0, reach = 0, outer = 0, terms = std::abs(h[r]);
        for (int i = 0; i < d; ++i) {
            const double g = G[(size_t)r * d + i];
            a[i] = g * f.h[i];
            b -= g * f.c[i];
            square += a[i] * a[i];
            reach += std::abs(a[i]);
            outer += g * g;
            terms += std::abs(g * f.c[i]) + std::abs(a[i]);
        }
        const double norm = std::sqrt(square);
        if (reach <= b + touching(norm, terms)) continue;  // the box lies inside
        if (!(norm > 0)) throw std::invalid_argument("the domain is empty");
        for (double& g : a) g /= norm;
        cuts.push(a.data(), 1, 1.0, b / norm, norm / std::sqrt(outer));
    }
}

const double* corner(Arena& arena, int d) {
    const int dp = packed(d);
    double* v = arena.take(Vertex::size(d));
    std::fill(v, v + Vertex::size(d), 0.0);
    for (int i = 0; i < d; ++i) {
        Vertex::x(v)[i] = -1;
        Vertex::edges(v, dp)[(size_t)i * dp + i] = 1;
        Vertex::ids(v, d, dp)[i] = 2 * i + 1;
    }
    Vertex::updates(v, d, dp) = 0;
    return v;
}

const double* inner_vertex(Arena& arena, const Cuts& cuts, int d) {
    std::vector<double> middle(packed(d)), centre(packed(d)), c(packed(d), 0.0);
    double radius;
    const Cuts all = with_box(cuts, d, 1.0);
    if (!chebyshev(all.rows(INFINITY), nullptr, middle.data(), centre.data(), &radius) || !(radius > 1e-9))
        throw std::invalid_argument("the domain is empty or has no interior");
    double* v = arena.take(Vertex::size(d));
    const Halfspaces rows = cuts.rows(1.0);
    std::vector<double> scratch(lp_scratch(d, rows.n));
    c[0] = 1;
    if (!search_kernels().to_vertex(rows, centre.data(), c.data(), v, scratch.data()))
        throw std::runtime_error("no vertex of the domain was found");
    return v;
}

}  // namespace

std::unique_ptr<SearchTask> root_cell(const SearchProblem& p, const double* G, const double* h, int rows) {
    const int d = p.d;
    auto task = std::make_unique<SearchTask>(d);
    push_domain(task->cuts, p.frame, G, h, rows);
    Node& n = task->node;
    Arena& arena = task->arena;
    n.cuts = task->cuts.size();
    n.n_witness = 1;
    n.witness = arena.take_as<Witness>(1);
    n.witness[0] = {n.cuts ? inner_vertex(arena, task->cuts, d) : corner(arena, d), nullptr};
    n.code = arena.take_as<uint64_t>(p.chain->packing.words);
    std::fill_n(n.code, p.chain->packing.words, uint64_t(0));
    if (p.near) n.foot = std::fill_n(arena.take(Foot::size(d)), Foot::size(d), 0.0) - Foot::size(d);
    // the first map: u = c + h v
    const Affine& first = p.chain->map(0);
    n.map = arena.take((size_t)(d + 1) * first.ld);
    n.owns_map = true;
    std::fill_n(n.map, (size_t)(d + 1) * first.ld, 0.0);
    auto add = [&](int row, int col, double w) {
        n.map[(size_t)col * first.ld + row] += w * p.frame.h[col];
        n.map[(size_t)d * first.ld + row] += w * p.frame.c[col];
    };
    std::copy(first.bias.begin(), first.bias.end(), n.map + (size_t)d * first.ld);
    for (int i = 0; i < first.rows; ++i) {
        if (first.sparse)
            for (int64_t q = first.row_ptr[i]; q < first.row_ptr[i + 1]; ++q)
                add(i, first.row_col[q], first.row_val[q]);
        else
            for (int j = 0; j < d; ++j) add(i, j, first.tiles[((size_t)(i / TILE) * first.cols + j) * TILE + i % TILE]);
    }
    return task;
}

}  // namespace pellucid
