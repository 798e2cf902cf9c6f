#include "facets.hpp"

#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "cells.hpp"

namespace pellucid {

FacetProblem::FacetProblem(std::shared_ptr<const Chain> chain_, SpaceFrame frame_, const double* G, const double* h,
                           int rows, std::vector<std::vector<double>> floors_, FinalSplit split_)
    : chain(std::move(chain_)),
      frame(std::move(frame_)),
      box_row(2 * frame.c.size(), -1),
      domain((int)frame.c.size()),
      floors(std::move(floors_)),
      split(std::move(split_)) {
    const int d = (int)frame.c.size();
    std::vector<double> a(d);
    for (int r = 0; r < rows; ++r) {
        double b = h[r], square = 0, reach = 0, outer = 0, terms = std::abs(h[r]);
        int entries = 0, axis = -1;
        for (int i = 0; i < d; ++i) {
            const double g = G[(size_t)r * d + i];
            a[i] = g * frame.h[i];
            b -= g * frame.c[i];
            square += a[i] * a[i];
            reach += std::abs(a[i]);
            outer += g * g;
            terms += std::abs(g * frame.c[i]) + std::abs(a[i]);
            if (g != 0) ++entries, axis = i;
        }
        const double norm = std::sqrt(square), near = touching(norm, terms);
        if (!(norm > 0) || reach < b - near) continue;
        if (entries == 1 && b <= norm + near) {
            int& face = box_row[2 * axis + (a[axis] < 0)];
            if (face < 0) face = r;
        } else if (reach > b + near) {
            for (double& g : a) g /= norm;
            domain.push(a.data(), 1, 1.0, b / norm, norm / std::sqrt(outer));
            domain_row.push_back(r);
        }
    }
}

namespace {

constexpr double LEAST_MOVED = 1e-10, MOST_MOVED = 2e-8;  // see recentre(): GEOMETRIC in tolerance.py, and PROOF_WIDTH
constexpr double TOUCHES = 1e-9;  // rows whose maximum stays this far below their offset have no facet

constexpr double CLEAR =
    8 * TOUCHES;  // a point inside a facet is at least that far from the other facets, if it can be

// What lies behind a halfspace, and its place among the rows of the chain.
struct Label {
    int column, low, high;
};

// One thread. For one region at a time: its maps, its halfspaces, which of them have facets.
class Faceter {
  public:
    Faceter(const FacetProblem& problem, bool neighbours)
        : p_(problem),
          chain_(*problem.chain),
          k_(search_kernels()),
          d_((int)problem.frame.c.size()),
          dp_(packed(d_)),
          comps_(d_ + 1),
          words_(chain_.packing.words),
          neighbours_(neighbours),
          cuts_(d_) {
        point_.assign(dp_, 0.0);
        c_.assign(dp_, 0.0);
        work_.resize(Vertex::size(d_));
    }

    FacetColumns out;

    void facets(const uint64_t* code, const double* point, int first, int second) {
        load(code, point, first, second);
        if (!(inside() > 0)) recentre(code, point, first, second);
        const int n = cuts_.size();
        state_.assign(2 * d_ + n, UNKNOWN);
        touch_.assign(neighbours_ ? (size_t)(2 * d_ + n) * d_ + PACK : 0, 0.0);
        shoot();
        programmes();
        write(code);
    }

    void centre(const uint64_t* code, const double* point, int first, int second, double* u, double* radius) {
        load(code, point, first, second);
        const Cuts all = with_box(cuts_, d_, 1.0);
        const double least = *std::min_element(p_.frame.h.begin(), p_.frame.h.end());
        std::vector<double> weight(all.size()), best(dp_);
        for (int r = 0; r < all.size(); ++r) weight[r] = least / (r < 2 * d_ ? p_.frame.h[r / 2] : all.stretch(r));
        double scaled = 0;
        if (!chebyshev(all.rows(INFINITY), weight.data(), point_.data(), best.data(), &scaled))
            throw std::runtime_error("no largest ball of a region was found");
        for (int i = 0; i < d_; ++i) u[i] = p_.frame.c[i] + p_.frame.h[i] * best[i];
        *radius = scaled * least;
    }

    // The largest c.v over the region and extra rows; the halfspaces of units moved outwards where relax >= 0.
    struct Support {
        double bound, value;
    };
    Support support(const uint64_t* code, const double* point, const double* c, int extra, const double* A,
                    const double* b, double relax, double* x) {
        relax_ = relax;
        load(code, point, -1, -1);
        lp_.resize((size_t)lp_scratch(d_, cuts_.size() + extra));
        double length = aim_along(c, 1);
        if (!(inside() > 0) && !to_centre()) return {box_bound(length), NAN};
        vertex_.resize(Vertex::size(d_));
        if (!k_.to_vertex(rows(), point_.data(), c_.data(), vertex_.data(), lp_.data()))
            return {box_bound(length), NAN};
        for (int r = 0; r < extra; ++r) {
            const double norm = aim_along(A + (size_t)r * d_, -1), b_r = b[r];
            if (!(norm > 0)) {
                if (b_r < 0) return {-INFINITY, NAN};
                continue;
            }
            const double bound = climb(-b_r / norm);
            if (bound < -b_r / norm) return {-INFINITY, NAN};
            double reached = 0;
            for (int i = 0; i < d_; ++i) reached -= c_[i] * vertex_[i];
            if (reached > b_r / norm + TOUCHES) {  // the simplex gave up: a bound without this row and those after it
                length = aim_along(c, 1);
                return {length * climb(INFINITY), NAN};
            }
            cuts_.push(c_.data(), 1, -1.0, std::max(b_r / norm, reached), 1.0);
        }
        length = aim_along(c, 1);
        const double bound = length > 0 ? length * climb(INFINITY) : 0;
        double value = 0;
        for (int i = 0; i < d_; ++i) x[i] = vertex_[i], value += c[i] * x[i];
        return {bound, value};
    }

  private:
    double relax_ = -1;
    std::vector<double> vertex_;

    // c_ = sign c / |c|; the length of c.
    double aim_along(const double* c, double sign) {
        double square = 0;
        for (int i = 0; i < d_; ++i) square += c[i] * c[i];
        const double length = std::sqrt(square);
        for (int i = 0; i < d_; ++i) c_[i] = length > 0 ? sign * c[i] / length : 0;
        return length;
    }

    double box_bound(double length) const {
        double sum = 0;
        for (int i = 0; i < d_; ++i) sum += std::abs(c_[i]);
        return length * sum * (1 + 1e-12);
    }

    // Moves vertex_ to a better one for c_, until that exceeds `stop`; a bound of c_.v over rows() by the multipliers
    // there.
    double climb(double stop) {
        const LpResult r = k_.maximise(rows(), vertex_.data(), work_.data(), c_.data(), stop, lp_.data(), nullptr);
        if (r.pivots && (r.status == LpStatus::optimal || r.status == LpStatus::stopped)) vertex_ = work_;
        return dual_bound();
    }

    // With multipliers m >= 0 of the tight constraints: c.v <= sum of m b + |c - sum of m a|_1 in the box, for every m.
    double dual_bound() {
        const double* e = Vertex::edges(vertex_.data(), dp_);
        const int* ids = Vertex::ids(vertex_.data(), d_, dp_);
        std::vector<double>&rest = rest_, &a = normal_;
        rest.assign(c_.begin(), c_.begin() + d_);
        a.assign(dp_, 0.0);
        double sum = 0, size = 0;
        for (int k = 0; k < d_; ++k) {
            double m = 0;
            for (int i = 0; i < d_; ++i) m -= c_[i] * e[(size_t)i * dp_ + k];
            if (ids[k] < 0 || !(m > 0) || !(m < 1e12)) continue;
            normal(ids[k], a.data());
            sum += m * b(ids[k]);
            size += m * std::abs(b(ids[k]));
            for (int i = 0; i < d_; ++i) rest[i] -= m * a[i], size += m * std::abs(a[i]);
        }
        for (int i = 0; i < d_; ++i) sum += std::abs(rest[i]), size += std::abs(c_[i]);
        return sum + 4 * (d_ + 4) * 1.2e-16 * size;
    }

    std::vector<double> rest_, normal_;

    enum : unsigned char { UNKNOWN = 0, FACET = 1, REDUNDANT = 2 };
    static constexpr int MET = 24;

    const FacetProblem& p_;
    const Chain& chain_;
    const SearchKernels& k_;
    const int d_, dp_, comps_, words_;
    const bool neighbours_;
    Cuts cuts_;  // the region, without the box
    std::vector<Label> labels_;
    std::vector<unsigned char> state_, seen_;
    std::vector<double> touch_;  // a point inside each facet that was found by a ray
    std::vector<double> pool_;   // vertices met, the last MET of them
    int met_ = 0, oldest_ = 0;
    std::vector<double> point_, c_, work_, slack_, lp_, ray_, sums_, norms_;
    std::vector<std::vector<double>> maps_;
    std::vector<int> columns_;

    // ---- the halfspaces of a code
    void load(const uint64_t* code, const double* point, int first, int second) {
        const SpaceFrame& f = p_.frame;
        for (int i = 0; i < d_; ++i) point_[i] = (point[i] - f.c[i]) / f.h[i];
        cuts_ = p_.domain;
        labels_.clear();
        for (int r : p_.domain_row) labels_.push_back({-1 - r, 0, 0});
        maps_.resize(chain_.stages.size() + 1);
        first_map();
        for (size_t l = 0; l < chain_.stages.size(); ++l) {
            const Stage& s = *chain_.stages[l];
            for (int i = 0; i < s.outputs; ++i)
                if (chain_.column[l][i] >= 0) add_unit(l, s, i, piece_of(l, i, code));
            next_map(l, s, code);
        }
        add_split(first, second);
    }

    int piece_of(size_t l, int i, const uint64_t* code) const {
        const int column = chain_.column[l][i];
        if (column < 0) return 0;
        const Place at = chain_.packing.places[column];
        return (int)(code[at.word] >> at.shift & ((uint64_t(1) << chain_.packing.widths[column]) - 1));
    }

    void first_map() {
        const Affine& first = chain_.map(0);
        auto& map = maps_[0];
        map.assign((size_t)comps_ * first.ld, 0.0);
        auto add = [&](int row, int col, double w) {
            map[(size_t)col * first.ld + row] += w * p_.frame.h[col];
            map[(size_t)d_ * first.ld + row] += w * p_.frame.c[col];
        };
        std::copy(first.bias.begin(), first.bias.end(), map.begin() + (size_t)d_ * first.ld);
        for (int i = 0; i < first.rows; ++i) {
            if (first.sparse)
                for (int64_t q = first.row_ptr[i]; q < first.row_ptr[i + 1]; ++q)
                    add(i, first.row_col[q], first.row_val[q]);
            else
                for (int j = 0; j < d_; ++j)
                    add(i, j, first.tiles[((size_t)(i / TILE) * first.cols + j) * TILE + i % TILE]);
        }
    }

    void next_map(size_t l, const Stage& s, const uint64_t* code) {
        const auto& map = maps_[l];
        const int ld = s.in.ld;
        columns_.clear();
        sums_.resize((size_t)comps_ * s.outputs);
        for (int i = 0; i < s.outputs; ++i) {
            const int piece = piece_of(l, i, code);
            int row = i;
            double slope = 1, offset = 0;
            if (s.kind == Stage::Kind::selection)
                row = s.members[s.ptr[i] + piece];
            else
                slope = s.slopes[s.ptr[i] + i + piece], offset = s.offsets[s.ptr[i] + i + piece];
            if (slope == 0 && offset == 0) continue;
            columns_.push_back(i);
            for (int c = 0; c < comps_; ++c) sums_[(size_t)c * s.outputs + i] = slope * map[(size_t)c * ld + row];
            sums_[(size_t)d_ * s.outputs + i] += offset;
        }
        const Affine& next = chain_.map(l + 1);
        maps_[l + 1].resize((size_t)comps_ * next.ld);
        product(k_, next, columns_.data(), (int)columns_.size(), sums_.data(), s.outputs, comps_, maps_[l + 1].data());
    }

    // g.v + h <= 0 with its label; left out where it cuts nothing off the box, or g is not more than rounding.
    void add_row(const double* g, double h, double floor, Label label) {
        double square = 0, reach = 0, outer = 0;
        for (int i = 0; i < d_; ++i) {
            square += g[i] * g[i];
            reach += std::abs(g[i]);
            outer += g[i] * g[i] / (p_.frame.h[i] * p_.frame.h[i]);
        }
        if (reach + h <= 0 || reach <= floor) return;
        const double norm = std::sqrt(square);
        const double moved = relax_ < 0 ? 0 : relax_ + 2 * floor / norm;
        cuts_.push(g, 1, 1 / norm, -h / norm + moved, norm / std::sqrt(outer));
        labels_.push_back(label);
    }

    // sign (z_a - z_b - t) <= 0 for rows a and b (or -1) of a map.
    void add_between(const std::vector<double>& map, int ld, int a, int b, double t, double sign, double floor,
                     Label label) {
        double g[65 + PACK];
        for (int i = 0; i < d_; ++i) g[i] = sign * (map[(size_t)i * ld + a] - (b < 0 ? 0 : map[(size_t)i * ld + b]));
        const double h = map[(size_t)d_ * ld + a] - (b < 0 ? 0 : map[(size_t)d_ * ld + b]) - t;
        add_row(g, sign * h, floor, label);
    }

    void add_unit(size_t l, const Stage& s, int i, int piece) {
        const auto& map = maps_[l];
        const int ld = s.in.ld, column = chain_.column[l][i];
        if (s.kind == Stage::Kind::selection) {
            const int* members = s.members.data() + s.ptr[i];
            for (int b = 0; b < s.ptr[i + 1] - s.ptr[i]; ++b)
                if (b != piece)
                    add_between(map, ld, members[b], members[piece], 0, +1,
                                p_.floors[l][members[b]] + p_.floors[l][members[piece]],
                                {column, std::min(b, piece), std::max(b, piece)});
            return;
        }
        const double floor = p_.floors[l][i];
        if (piece > 0)
            add_between(map, ld, i, -1, s.breaks[s.ptr[i] + piece - 1], -1, floor, {column, piece - 1, piece});
        if (piece < s.n_pieces[i] - 1)
            add_between(map, ld, i, -1, s.breaks[s.ptr[i] + piece], +1, floor, {column, piece, piece + 1});
    }

    void add_split(int first, int second) {
        using Mode = FinalSplit::Mode;
        const auto& y = maps_.back();
        const auto& floor = p_.floors.back();
        const int ld = chain_.out->ld, c = chain_.out->rows, column = chain_.columns;
        if (first < 0) return;
        if (p_.split.mode == Mode::labels) {
            for (int j = 0; j < c; ++j) {
                const bool above = first >> j & 1;
                add_between(y, ld, j, -1, p_.split.thresholds[j], above ? -1 : +1, floor[j],
                            {column, c == 1 ? 0 : j, c == 1 ? 1 : j});
            }
        } else if (p_.split.mode != Mode::none) {
            for (int j = 0; j < c; ++j)
                if (j != first && (second < 0 || j == second))
                    add_between(y, ld, j, first, 0, +1, floor[j] + floor[first],
                                {column, std::min(j, first), std::max(j, first)});
            for (int j = 0; second >= 0 && j < c; ++j)
                if (j != first && j != second)
                    add_between(y, ld, j, second, 0, +1, floor[j] + floor[second],
                                {column, std::min(j, second), std::max(j, second)});
        }
    }

    // ---- which of them have facets
    Halfspaces rows() const { return cuts_.rows(1.0); }

    double inside() {
        slack_.resize(packed(cuts_.size()) + PACK);
        k_.slacks(rows(), point_.data(), slack_.data());
        double least = INFINITY;
        for (int r = 0; r < cuts_.size(); ++r) least = std::min(least, slack_[r]);
        for (int i = 0; i < d_; ++i) least = std::min(least, 1 - std::abs(point_[i]));
        return least;
    }

    // The given point lies on a face by rounding, or outside: the region's centre instead.
    bool to_centre() {
        const Cuts all = with_box(cuts_, d_, 1.0);
        std::vector<double> centre(dp_);
        double radius;
        if (chebyshev(all.rows(INFINITY), nullptr, point_.data(), centre.data(), &radius) && radius > 0)
            std::copy(centre.begin(), centre.begin() + d_, point_.begin());
        return inside() > 0;
    }

    // Regions as thin as the engines' tolerance may have no interior by their own weights: then by halfspaces that are
    // moved outwards by as much.
    void recentre(const uint64_t* code, const double* point, int first, int second) {
        bool found = to_centre();
        for (double by = 0; !found && by <= MOST_MOVED; by = by > 0 ? 10 * by : LEAST_MOVED) {
            relax_ = by;
            load(code, point, first, second);
            found = inside() > 0 || to_centre();
        }
        relax_ = -1;
        if (!found) throw std::invalid_argument("a code is that of no region here, or its point is not inside");
    }

    double b(int id) const { return id < 2 * d_ ? 1.0 : cuts_.b(id - 2 * d_); }

    void normal(int id, double* a) const {
        for (int i = 0; i < d_; ++i) a[i] = id < 2 * d_ ? 0.0 : cuts_.a(id - 2 * d_, i);
        if (id < 2 * d_) a[id / 2] = id % 2 ? -1 : 1;
    }

    // Rays from the point along every normal: what a ray meets first, and alone, has a facet.
    void shoot() {
        const int n = cuts_.size();
        ray_.resize(packed(n) + PACK);
        for (int id = 0; id < 2 * d_ + n; ++id) {
            normal(id, c_.data());
            int hit;
            double next;
            const double best = k_.ray(rows(), point_.data(), slack_.data(), c_.data(), -1, ray_.data(), &hit, &next);
            if (hit < 0 || !(next - best > TOUCHES) || state_[hit] == FACET) continue;
            state_[hit] = FACET;
            for (int i = 0; neighbours_ && i < d_; ++i) touch_[(size_t)hit * d_ + i] = point_[i] + best * c_[i];
        }
    }

    // The rest by linear programmes, each from the best of the vertices met. Of rows that coincide the first is kept:
    // the others are looked at, and found redundant, before it; rows of the chain before faces of the domain.
    void programmes() {
        lp_.resize((size_t)lp_scratch(d_, cuts_.size()));
        met_ = 0;
        for (int id = (int)state_.size() - 1; id >= 0; --id)
            if (state_[id] == UNKNOWN && (id >= 2 * d_ || p_.box_row[id] >= 0)) aim(id);
    }

    double* met(int v) { return pool_.data() + (size_t)v * Vertex::size(d_); }

    // A first vertex, seen from the inner point in the direction of c_.
    void start() {
        pool_.resize((size_t)MET * Vertex::size(d_));
        if (!k_.to_vertex(rows(), point_.data(), c_.data(), met(0), lp_.data()))
            throw std::runtime_error("no vertex of a region was found");
        met_ = 1;
        oldest_ = 0;
        const double* x = Vertex::x(met(0));
        k_.slacks(rows(), x, slack_.data());
        int tight = 0;
        for (int r = 0; r < cuts_.size(); ++r) tight += slack_[r] <= TOUCHES;
        for (int i = 0; i < d_; ++i) tight += 1 - std::abs(x[i]) <= TOUCHES;
        const int* ids = Vertex::ids(met(0), d_, dp_);
        for (int k = 0; tight <= d_ && k < d_; ++k) state_[ids[k]] = FACET;
    }

    int farthest() {
        int best = 0;
        double top = -INFINITY;
        for (int v = 0; v < met_; ++v) {
            const double* x = Vertex::x(met(v));
            double sum = 0;
            for (int i = 0; i < d_; ++i) sum += c_[i] * x[i];
            if (sum > top) best = v, top = sum;
        }
        return best;
    }

    void aim(int id) {
        normal(id, c_.data());
        if (!met_) start();
        if (state_[id] == FACET) return;
        seen_.assign(state_.size(), 0);
        ++out.programmes;
        const LpResult r =
            k_.maximise(rows(), met(farthest()), work_.data(), c_.data(), b(id) - TOUCHES, lp_.data(), seen_.data());
        if (r.status == LpStatus::stuck || r.status == LpStatus::unbounded) return doubt(id);
        if (r.pivots) {
            const int v = met_ < MET ? met_++ : oldest_++ % MET;
            std::copy(work_.begin(), work_.end(), met(v));
            for (size_t q = 0; q < seen_.size(); ++q)
                if (seen_[q] && state_[q] == UNKNOWN) state_[q] = FACET;
        }
        if (state_[id] != UNKNOWN) return;
        if (r.value > b(id) - TOUCHES) return doubt(id);
        state_[id] = REDUNDANT;
    }

    // It touches the region, but no simple vertex shows a facet: does the region grow without it?
    void doubt(int id) {
        ++out.doubtful;
        Cuts others(d_);
        std::vector<double> a(dp_, 0.0), target(dp_, 0.0);
        normal(id, target.data());
        for (int q = 0; q < 2 * d_ + cuts_.size(); ++q) {
            if (state_[q] == REDUNDANT && q >= 2 * d_) continue;
            if (state_[q] == REDUNDANT && p_.box_row[q] >= 0) continue;
            normal(q, a.data());
            others.push(a.data(), 1, 1.0, q == id ? b(q) + 1 : b(q), 1.0);
        }
        const Halfspaces wide = others.rows(INFINITY);
        std::vector<double> scratch(lp_scratch(d_, others.size())), vertex(Vertex::size(d_)), work(Vertex::size(d_));
        bool grows = true;
        if (k_.to_vertex(wide, point_.data(), target.data(), vertex.data(), scratch.data())) {
            double value = 0;
            for (int i = 0; i < d_; ++i) value += target[i] * vertex[i];
            if (!(value > b(id) + TOUCHES)) {
                const LpResult r = k_.maximise(wide, vertex.data(), work.data(), target.data(), b(id) + TOUCHES,
                                               scratch.data(), nullptr);
                grows = r.status != LpStatus::optimal || r.value > b(id) + TOUCHES;
            }
        }
        state_[id] = grows ? FACET : REDUNDANT;
    }

    // ---- output
    void write(const uint64_t* code) {
        std::vector<std::pair<Label, int>> found;  // rows of the chain in the order of their columns, then the domain's
        for (int id = 0; id < (int)state_.size(); ++id) {
            if (state_[id] != FACET || (id < 2 * d_ && p_.box_row[id] < 0)) continue;
            found.push_back({id < 2 * d_ ? Label{-1 - p_.box_row[id], 0, 0} : labels_[id - 2 * d_], id});
        }
        std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
            auto key = [](const Label& l) { return std::make_tuple(l.column < 0, std::abs(l.column), l.low, l.high); };
            return key(a.first) < key(b.first);
        });
        for (const auto& [label, id] : found) {
            double* A = out.A.more(d_);
            double square = 0, offset = b(id);
            normal(id, c_.data());
            for (int i = 0; i < d_; ++i) {
                A[i] = c_[i] / p_.frame.h[i];
                offset += A[i] * p_.frame.c[i];
                square += A[i] * A[i];
            }
            const double norm = std::sqrt(square);
            for (int i = 0; i < d_; ++i) A[i] /= norm;
            out.b.push(offset / norm);
            out.column.push(label.column);
            out.low.push(label.low);
            out.high.push(label.high);
            if (!neighbours_) continue;
            const bool found_point = aim_inside(id);
            double* u = out.inner.more(d_);
            for (int i = 0; i < d_; ++i)
                u[i] = found_point ? p_.frame.c[i] + p_.frame.h[i] * touch_[(size_t)id * d_ + i] : NAN;
            beyond(label, id, found_point, code, out.beyond.more(words_));
        }
        out.counts.push((int64_t)found.size());
    }

    // ---- what lies beyond a facet
    // The code at y + 0 n, y a point inside the facet and n its normal: values decide, and where they leave it open the
    // rates along n do.
    void beyond(const Label& label, int id, bool has_point, const uint64_t* code, uint64_t* to) {
        std::copy(code, code + words_, to);
        if (label.column < 0 || label.column >= chain_.columns) return;
        if (!has_point) return flip(label, code, to);
        const double* y = touch_.data() + (size_t)id * d_;
        normal(id, c_.data());
        std::fill(to, to + words_, uint64_t(0));
        std::vector<double> value(y, y + d_), rate(c_.begin(), c_.begin() + d_), z, dz;
        for (int i = 0; i < d_; ++i) value[i] = p_.frame.c[i] + p_.frame.h[i] * value[i], rate[i] *= p_.frame.h[i];
        for (size_t l = 0; l < chain_.stages.size(); ++l) {
            const Stage& s = *chain_.stages[l];
            image(s.in, value, rate, z, dz);
            value.assign(s.outputs, 0.0);
            rate.assign(s.outputs, 0.0);
            for (int i = 0; i < s.outputs; ++i) pass(l, s, i, z, dz, value[i], rate[i], to);
        }
    }

    // Puts a point inside the facet, clear of all others, into touch_; false where the facet is too thin.
    bool aim_inside(int id) {
        double* y = touch_.data() + (size_t)id * d_;
        if (!(apart(id, y) > CLEAR)) from_vertex(id, y);
        if (!(apart(id, y) > CLEAR)) middle(id, y);
        return apart(id, y) > CLEAR;
    }

    static void image(const Affine& m, const std::vector<double>& value, const std::vector<double>& rate,
                      std::vector<double>& z, std::vector<double>& dz) {
        z.assign(m.bias.begin(), m.bias.begin() + m.rows);
        dz.assign(m.rows, 0.0);
        if (m.sparse) {
            for (int i = 0; i < m.rows; ++i)
                for (int64_t q = m.row_ptr[i]; q < m.row_ptr[i + 1]; ++q)
                    z[i] += m.row_val[q] * value[m.row_col[q]], dz[i] += m.row_val[q] * rate[m.row_col[q]];
            return;
        }
        for (int t = 0; t < m.ld / TILE; ++t)
            for (int j = 0; j < m.cols; ++j) {
                if (value[j] == 0 && rate[j] == 0) continue;
                const double* a = m.tiles.data() + ((size_t)t * m.cols + j) * TILE;
                const int end = std::min(TILE, m.rows - t * TILE);
                for (int i = 0; i < end; ++i) z[t * TILE + i] += a[i] * value[j], dz[t * TILE + i] += a[i] * rate[j];
            }
    }

    // How near to a breakpoint a value cannot be told from it: the facet's point is that far from other faces, at
    // least.
    double vague(size_t l, int row) const {
        const auto& map = maps_[l];
        const int ld = chain_.map(l).ld;
        double square = 0;
        for (int i = 0; i < d_; ++i) square += map[(size_t)i * ld + row] * map[(size_t)i * ld + row];
        return TOUCHES / 4 * std::sqrt(square) + p_.floors[l][row];
    }

    void pass(size_t l, const Stage& s, int i, const std::vector<double>& z, const std::vector<double>& dz,
              double& value, double& rate, uint64_t* to) const {
        int piece = 0;
        if (s.kind == Stage::Kind::selection) {
            const int* members = s.members.data() + s.ptr[i];
            for (int b = 1; b < s.ptr[i + 1] - s.ptr[i]; ++b) {
                const int w = members[piece], r = members[b];
                const double gap = z[r] - z[w], wide = vague(l, r) + vague(l, w);
                if (gap > wide || (gap >= -wide && dz[r] - dz[w] > 1e-9 * (std::abs(dz[r]) + std::abs(dz[w]))))
                    piece = b;
            }
            value = z[members[piece]], rate = dz[members[piece]];
        } else {
            const double wide = s.n_pieces[i] > 1 ? vague(l, i) : 0;
            for (int q = s.ptr[i]; q < s.ptr[i + 1]; ++q) {
                const double gap = z[i] - s.breaks[q];
                if (gap > wide || (gap >= -wide && dz[i] > p_.floors[l][i])) ++piece;
            }
            const int at = s.ptr[i] + i + piece;
            value = s.slopes[at] * z[i] + s.offsets[at];
            rate = s.slopes[at] * dz[i];
        }
        const int column = chain_.column[l][i];
        if (column >= 0)
            to[chain_.packing.places[column].word] |= (uint64_t)piece << chain_.packing.places[column].shift;
    }

    // How far a point on facet `id` is from the other facets; negative when it is not on it.
    double apart(int id, const double* y) {
        const double* x = y;
        slack_.resize(packed(cuts_.size()) + PACK);
        k_.slacks(rows(), x, slack_.data());
        double least = INFINITY;
        for (int q = 0; q < (int)state_.size(); ++q) {
            const double s = q >= 2 * d_ ? slack_[q - 2 * d_] : 1 - (q % 2 ? -x[q / 2] : x[q / 2]);
            if (q == id && std::abs(s) > 1e-11) return -1;
            if (q != id && state_[q] == FACET) least = std::min(least, s);
        }
        return least;
    }

    // From a vertex on the facet along all edges but the one that leaves it.
    void from_vertex(int id, double* y) {
        normal(id, c_.data());
        int v = 0;
        auto holds = [&](int w) {
            const int* ids = Vertex::ids(met(w), d_, dp_);
            return std::find(ids, ids + d_, id) != ids + d_;
        };
        while (v < met_ && !holds(v)) ++v;
        if (v == met_) return;
        const double *x = Vertex::x(met(v)), *e = Vertex::edges(met(v), dp_);
        const int* ids = Vertex::ids(met(v), d_, dp_);
        std::vector<double> p(dp_, 0.0);
        for (int k = 0; k < d_; ++k) {
            if (ids[k] == id) continue;
            double square = 0;
            for (int i = 0; i < d_; ++i) square += e[(size_t)i * dp_ + k] * e[(size_t)i * dp_ + k];
            for (int i = 0; i < d_; ++i) p[i] += e[(size_t)i * dp_ + k] / std::sqrt(square);
        }
        std::vector<double> at(x, x + dp_);
        k_.slacks(rows(), at.data(), slack_.data());
        ray_.resize(packed(cuts_.size()) + PACK);
        int hit;
        double next, step = 0;
        if (d_ > 1) step = k_.ray(rows(), at.data(), slack_.data(), p.data(), id, ray_.data(), &hit, &next) / 2;
        if (!(step < INFINITY)) return;
        for (int i = 0; i < d_; ++i) y[i] = at[i] + step * p[i];
    }

    // The centre of the largest ball around a point of the facet that meets no other one.
    void middle(int id, double* y) {
        Cuts all(d_);
        std::vector<double> a(dp_, 0.0), start(dp_, 0.0), centre(dp_, 0.0), weight;
        auto add = [&](double sign, double offset, double w) {
            all.push(a.data(), 1, sign, sign * offset, 1.0);
            weight.push_back(w);
        };
        normal(id, a.data());
        add(+1, b(id), 0);
        add(-1, b(id), 0);
        double slack = b(id);
        for (int i = 0; i < d_; ++i) slack -= a[i] * point_[i];
        for (int i = 0; i < d_; ++i) start[i] = point_[i] + slack * a[i];
        for (int q = 0; q < (int)state_.size(); ++q) {
            if (q == id || state_[q] != FACET) continue;
            normal(q, a.data());
            add(+1, b(q), 1);
        }
        double room;
        if (chebyshev(all.rows(INFINITY), weight.data(), start.data(), centre.data(), &room))
            std::copy(centre.begin(), centre.begin() + d_, y);
    }

    // A facet too thin to have a point inside: only its own unit changes behind it.
    void flip(const Label& label, const uint64_t* code, uint64_t* to) {
        ++out.doubtful;
        const Place at = chain_.packing.places[label.column];
        const uint64_t mask = (uint64_t(1) << chain_.packing.widths[label.column]) - 1;
        const int piece = (int)(code[at.word] >> at.shift & mask);
        std::copy(code, code + words_, to);
        to[at.word] ^= (uint64_t)(piece ^ (piece == label.low ? label.high : label.low)) << at.shift;
    }
};

// work(faceter, k) for all regions, in spans; what each span found is handed to done(span, columns) afterwards, in
// order.
template <class Work>
std::vector<FacetColumns> in_spans(const FacetProblem& problem, size_t count, bool neighbours, int threads, Work work) {
    const size_t spans = std::max<size_t>(1, std::min<size_t>(count / 64 + 1, 16 * (size_t)std::max(1, threads)));
    std::vector<FacetColumns> found(spans);
    std::atomic<size_t> next{0};
    std::exception_ptr error;
    std::atomic<bool> failed{false};
    auto run = [&] {
        try {
            for (size_t s; !failed && (s = next++) < spans;) {
                Faceter faceter(problem, neighbours);
                for (size_t k = count * s / spans; k < count * (s + 1) / spans; ++k) work(faceter, k);
                found[s] = std::move(faceter.out);
            }
        } catch (...) {
            if (!failed.exchange(true)) error = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads && (size_t)t < spans; ++t) others.emplace_back(run);
    run();
    for (auto& t : others) t.join();
    if (error) std::rethrow_exception(error);
    return found;
}

int at(const int32_t* column, size_t k) { return column ? column[k] : -1; }

}  // namespace

FacetColumns find_facets(const FacetProblem& problem, const RegionList& r, bool neighbours, int threads) {
    const size_t words = problem.chain->packing.words, d = problem.frame.c.size();
    auto parts = in_spans(problem, r.count, neighbours, threads, [&](Faceter& f, size_t k) {
        f.facets(r.codes + k * words, r.points + k * d, at(r.first, k), at(r.second, k));
    });
    FacetColumns all = std::move(parts[0]);
    for (size_t i = 1; i < parts.size(); ++i) {
        FacetColumns& o = parts[i];
        all.counts.append(o.counts);
        all.A.append(o.A);
        all.b.append(o.b);
        all.column.append(o.column);
        all.low.append(o.low);
        all.high.append(o.high);
        all.beyond.append(o.beyond);
        all.inner.append(o.inner);
        all.programmes += o.programmes;
        all.doubtful += o.doubtful;
        o = {};
    }
    return all;
}

void find_support(const FacetProblem& problem, const RegionList& r, const SupportQuestions& q, int threads,
                  double* bounds, double* values, double* points) {
    const size_t words = problem.chain->packing.words, d = problem.frame.c.size();
    in_spans(problem, r.count, false, threads, [&](Faceter& f, size_t k) {
        const size_t rows = k * (size_t)q.extra;
        const auto found = f.support(r.codes + k * words, r.points + k * d, q.directions + k * d, q.extra,
                                     q.A + rows * d, q.b + rows, q.geometric, points + k * d);
        bounds[k] = found.bound;
        values[k] = found.value;
    });
}

void find_centres(const FacetProblem& problem, const RegionList& r, int threads, double* centres, double* radii) {
    const size_t words = problem.chain->packing.words, d = problem.frame.c.size();
    in_spans(problem, r.count, false, threads, [&](Faceter& f, size_t k) {
        f.centre(r.codes + k * words, r.points + k * d, at(r.first, k), at(r.second, k), centres + k * d, radii + k);
    });
}

}  // namespace pellucid
