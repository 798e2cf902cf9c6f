#include "margin.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pellucid {
namespace {

constexpr double BLURRED = 1e-11;  // of all terms of a bound: many times what their roundings come to
constexpr int ENOUGH = 256;        // cells after which it is known whether bounding pays
constexpr int SELDOM = 8;          // it does where one cell of so many can be left out
constexpr int AGAIN = 32;          // where it does not, one cell of so many is tried

}  // namespace

Margins::Margins(const SearchProblem& problem)
    : p_(problem), chain_(*problem.chain), d_(problem.d), bounds_(chain_.stages.size()), g_(problem.d + 1) {
    using Mode = FinalSplit::Mode;
    const int avoid = problem.near->avoid, only = problem.near->only;
    if (problem.split.mode == Mode::labels && only < 0) {
        for (int j = 0; j < chain_.out->rows; ++j) {
            const double sign = avoid >> j & 1 ? -1 : 1;
            margins_.push_back({j, -1, sign, -sign * problem.split.thresholds[j]});
        }
    } else if (problem.split.mode == Mode::argmax) {
        for (int j = 0; j < chain_.out->rows; ++j) {
            if (only >= 0 && j != only) margins_.push_back({only, j, 1, 0});
            if (only < 0 && j != avoid) margins_.push_back({j, avoid, 1, 0});
        }
    } else {
        usable_ = false;
    }
    int widest = chain_.out->ld;
    for (const auto& s : chain_.stages) {
        widest = std::max({widest, s->in.ld, s->outputs});
        if (s->kind == Stage::Kind::selection) usable_ = false;
        for (int i = 0; i < (usable_ ? s->outputs : 0); ++i)
            for (int q = s->ptr[i]; q < s->ptr[i + 1]; ++q) {  // units must not jump
                const int at = q + i;
                const double low = s->slopes[at] * s->breaks[q] + s->offsets[at];
                const double high = s->slopes[at + 1] * s->breaks[q] + s->offsets[at + 1];
                if (std::abs(high - low) > 1e-15 * (std::abs(high) + std::abs(low))) usable_ = false;
            }
    }
    for (size_t l = 0; l < bounds_.size(); ++l) {
        bounds_[l].lo.resize(chain_.stages[l]->in.ld);
        bounds_[l].hi.resize(chain_.stages[l]->in.ld);
    }
    coef_.resize(widest);
    rows_.resize(widest);
    columns_.resize(widest);
    low_.resize(widest);
    high_.resize(widest);
}

// The largest value of g.v + h over the box and the ball.
double Margins::above(const double* g, double h, double radius) const {
    const Nearness& near = *p_.near;
    double at = h, reach = 0, one = 0, two = 0, top = 0;
    for (int i = 0; i < d_; ++i) {
        at += g[i] * near.centre[i];
        reach += std::abs(g[i]);
        const double w = std::abs(g[i]) / near.weight[i];
        one += w, two += w * w, top = std::max(top, w);
    }
    using Norm = Nearness::Norm;
    const double length = near.norm == Norm::two ? std::sqrt(two) : near.norm == Norm::one ? top : one;
    const double box = h + reach;
    return radius < INFINITY ? std::min(box, at + radius * length) : box;
}

double Margins::entry(const Affine& A, int row, int column) const {
    if (!A.sparse) return A.tiles[((size_t)(row / TILE) * A.cols + column) * TILE + row % TILE];
    for (int64_t q = A.col_ptr[column]; q < A.col_ptr[column + 1]; ++q)
        if (A.col_row[q] == row) return A.col_val[q];
    return 0;
}

// What the open lines of the cell give beyond their lower pieces.
bool Margins::open_lines(const Node& cell, double radius) {
    excess_.clear();
    const Lines& lines = cell.lines;
    for (int q = 0; q < cell.n_open; ++q) {
        const int l = cell.open[q];
        const BreakLine& line = p_.plans[cell.stage - 1].lines[lines.id[l]];
        for (int i = 0; i < d_; ++i) g_[i] = lines.map[(size_t)i * lines.ld + l];
        const double h = lines.map[(size_t)d_ * lines.ld + l];
        const double hi = above(g_.data(), h, radius);
        for (int i = 0; i < d_; ++i) g_[i] = -g_[i];
        const double lo = -above(g_.data(), -h, radius), norm = lines.norm[l] > 0 ? lines.norm[l] : 1;
        excess_.push_back({line.row, l, line.slope * norm, lo, hi, lines.floor[l]});
    }
    return true;
}

// Adds relaxations of sum over the rows of coef_row A (excess) to g_ and h, from above.
void Margins::add_excess(const Node& cell, const double* coef, int rows, double& h, double& slack) {
    const Affine& A = chain_.map(cell.stage);
    const Lines& lines = cell.lines;
    for (Excess& e : excess_) {
        double a = 0;
        if (rows < 0)
            a = coef[e.column];  // the columns' coefficients themselves
        else
            a = entry(A, rows, e.column) * coef[0];
        a *= e.scale;
        if (a == 0) continue;
        const double slope = a > 0 ? e.upper() : e.lo >= 0 ? 1 : e.lower();
        for (int i = 0; i < d_; ++i) g_[i] += a * slope * lines.map[(size_t)i * lines.ld + e.line];
        h += a * slope * lines.map[(size_t)d_ * lines.ld + e.line];
        if (a > 0) h += a * e.shift();
        if (rows < 0 && e.lo < 0 && e.hi > 0)
            e.cost = std::max(e.cost, a > 0 ? a * e.shift() : -a * std::min(e.hi, -e.lo));
        slack += std::abs(a) * (e.floor + BLURRED * (std::abs(e.lo) + std::abs(e.hi)));
    }
}

// Bounds of the rows of the first stage that is not decided.
void Margins::first_bounds(const Node& cell, double radius) {
    const Affine& A = chain_.map(cell.stage);
    Bounds& to = bounds_[cell.stage];
    for (int r = 0; r < A.rows; ++r)
        for (double sign : {1.0, -1.0}) {
            for (int i = 0; i < d_; ++i) g_[i] = sign * cell.map[(size_t)i * A.ld + r];
            double h = sign * cell.map[(size_t)d_ * A.ld + r], slack = p_.floors[cell.stage][r] + BLURRED * std::abs(h);
            add_excess(cell, &sign, r, h, slack);
            const double most = above(g_.data(), h, radius) + slack;
            (sign > 0 ? to.hi : to.lo)[r] = sign * most;
        }
}

// Bounds of the rows of the next stage by intervals.
void Margins::next_bounds(int stage) {
    const Stage& s = *chain_.stages[stage];
    const Bounds& from = bounds_[stage];
    const Affine& A = chain_.map(stage + 1);
    double *mid = low_.data(), *rad = high_.data();
    for (int i = 0; i < s.outputs; ++i) {
        double lo = INFINITY, hi = -INFINITY;
        for (int q = s.ptr[i]; q <= s.ptr[i + 1]; ++q) {  // the pieces that [lo, hi] meets, at their ends
            const int at = q + i;
            const double begin = q == s.ptr[i] ? from.lo[i] : std::max(from.lo[i], s.breaks[q - 1]);
            const double end = q == s.ptr[i + 1] ? from.hi[i] : std::min(from.hi[i], s.breaks[q]);
            if (begin > end) continue;
            for (double z : {begin, end}) {
                const double v = s.slopes[at] * z + s.offsets[at];
                lo = std::min(lo, v), hi = std::max(hi, v);
            }
        }
        mid[i] = (lo + hi) / 2, rad[i] = (hi - lo) / 2 + BLURRED * (std::abs(lo) + std::abs(hi));
    }
    Bounds& to = bounds_[stage + 1];
    std::vector<double>&centre = rows_, &half = columns_;
    std::copy(A.bias.begin(), A.bias.begin() + A.ld, centre.begin());
    std::fill(half.begin(), half.begin() + A.ld, 0.0);
    if (A.sparse) {
        for (int j = 0; j < A.cols; ++j)
            for (int64_t q = A.col_ptr[j]; q < A.col_ptr[j + 1]; ++q) {
                centre[A.col_row[q]] += A.col_val[q] * mid[j];
                half[A.col_row[q]] += std::abs(A.col_val[q]) * rad[j];
            }
    } else {
        for (int t = 0; t < A.ld / TILE; ++t)
            for (int j = 0; j < A.cols; ++j) {
                const double* a = &A.tiles[((size_t)t * A.cols + j) * TILE];
                for (int i = 0; i < TILE; ++i) {
                    centre[t * TILE + i] += a[i] * mid[j];
                    half[t * TILE + i] += std::abs(a[i]) * rad[j];
                }
            }
    }
    for (int i = 0; i < A.rows; ++i) {
        const double blur = BLURRED * (std::abs(centre[i]) + half[i]);
        to.lo[i] = centre[i] - half[i] - blur;
        to.hi[i] = centre[i] + half[i] + blur;
    }
}

void Margins::transposed(const Affine& A, const double* rows, double* columns) const {
    if (A.sparse) {
        for (int j = 0; j < A.cols; ++j) {
            columns[j] = 0;
            for (int64_t q = A.col_ptr[j]; q < A.col_ptr[j + 1]; ++q) columns[j] += A.col_val[q] * rows[A.col_row[q]];
        }
        return;
    }
    std::fill(columns, columns + A.cols, 0.0);
    for (int t = 0; t < A.ld / TILE; ++t)
        for (int j = 0; j < A.cols; ++j) {
            const double* a = &A.tiles[((size_t)t * A.cols + j) * TILE];
            double sum = 0;
            for (int i = 0; i < TILE; ++i) sum += a[i] * rows[t * TILE + i];
            columns[j] += sum;
        }
}

// The largest a margin can be.
double Margins::bound(const Margin& m, const Node& cell, double radius, double& rest) {
    const int last = (int)chain_.stages.size();
    double h = m.constant, slack = 0;
    std::vector<double>& rows = rows_;
    std::fill(rows.begin(), rows.end(), 0.0);
    rows[m.plus] = m.sign;
    if (m.minus >= 0) rows[m.minus] = -1;
    for (int s = last; s > cell.stage; --s) {  // rows: coefficients of the rows of stage s
        const Affine& A = chain_.map(s);
        for (int i = 0; i < A.rows; ++i) h += rows[i] * A.bias[i];
        transposed(A, rows.data(), coef_.data());
        const Stage& stage = *chain_.stages[s - 1];
        const Bounds& z = bounds_[s - 1];
        std::fill(rows.begin(), rows.end(), 0.0);
        for (int i = 0; i < stage.outputs; ++i) {
            const double w = coef_[i], lo = z.lo[i], hi = z.hi[i];
            if (w == 0) continue;
            int q = stage.ptr[i];
            while (q < stage.ptr[i + 1] && stage.breaks[q] <= lo) ++q;
            rows[i] = w * stage.slopes[q + i];
            h += w * stage.offsets[q + i];
            slack += BLURRED * std::abs(w * stage.offsets[q + i]);
            for (; q < stage.ptr[i + 1] && stage.breaks[q] < hi; ++q) {
                const double t = stage.breaks[q], a = w * (stage.slopes[q + i + 1] - stage.slopes[q + i]);
                const double from = lo - t, to = hi - t;
                if (a > 0) {
                    const double slope = to / (to - from);
                    rows[i] += a * slope;
                    h -= a * slope * (t + from);
                } else if (to > -from) {
                    rows[i] += a;
                    h -= a * t;
                }
                slack += BLURRED * std::abs(a) * (std::abs(t) + to - from);
            }
            slack += BLURRED * (std::abs(rows[i]) + std::abs(w)) * std::max(std::abs(lo), std::abs(hi));
        }
    }
    const Affine& A = chain_.map(cell.stage);
    const auto& floors = p_.floors[cell.stage];
    std::fill(g_.begin(), g_.end(), 0.0);
    for (int r = 0; r < A.rows; ++r) {
        if (rows[r] == 0) continue;
        for (int i = 0; i < d_; ++i) g_[i] += rows[r] * cell.map[(size_t)i * A.ld + r];
        const double at = cell.map[(size_t)d_ * A.ld + r];
        h += rows[r] * at;
        slack += std::abs(rows[r]) * (floors[r] + BLURRED * std::abs(at));
    }
    if (!excess_.empty()) {
        transposed(A, rows.data(), columns_.data());
        add_excess(cell, columns_.data(), -1, h, slack);
    }
    const double most = above(g_.data(), h, radius);
    slack += BLURRED * (std::abs(h) + std::abs(most));
    rest = h + slack;
    return most + slack;
}

int Margins::loosest() const {
    int best = -1;
    double most = 0;
    for (const Excess& e : excess_)
        if (e.cost > most) best = e.line, most = e.cost;
    return best;
}

Margins::Trials& Margins::trials(const Node& cell) {
    const int open = std::bit_width((unsigned)cell.n_open);
    trials_.resize(16 * (chain_.stages.size() + 2));
    return trials_[16 * (size_t)cell.stage + std::min(open, 15)];
}

bool Margins::pays(Trials& t) {
    if (t.made < ENOUGH || SELDOM * t.won >= t.made) return true;
    return ++t.passed % AGAIN == 0;
}

bool Margins::decided(const Node& cell, double radius, const Stays& stays) {
    Trials& t = trials(cell);
    excess_.clear();
    if (!usable_ || !pays(t)) return false;
    const bool proved = prove(cell, radius, stays);
    ++t.made;
    t.won += proved;
    return proved;
}

bool Margins::prove(const Node& cell, double radius, const Stays& stays) {
    const int last = (int)chain_.stages.size();
    if (cell.stage > last || cell.n_groups || cell.n_raised || !open_lines(cell, radius)) return false;
    if (cell.stage < last) first_bounds(cell, radius);
    for (int s = cell.stage; s + 1 < last; ++s) next_bounds(s);
    // none of several others wins; or the one that is asked for loses to some other
    const bool any = p_.near->only >= 0;
    for (const Margin& m : margins_) {
        double rest;
        const bool loses = bound(m, cell, radius, rest) < 0 || stays(g_.data(), -rest);
        if (loses == any) return any;
    }
    return !any && !margins_.empty();
}

}  // namespace pellucid
