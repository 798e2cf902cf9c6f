#include "nearest.hpp"

#include <algorithm>
#include <climits>

#include "cells.hpp"

namespace pellucid {
namespace {

constexpr double FEASIBLE = 1e-13;   // how far a foot may stand beyond a row (unit normals, box [-1, 1]^d)
constexpr double DEPENDENT = 1e-15;  // squared sine below which a row counts as spanned by the others: rounding
constexpr int REFINED = 3;           // corrections of a foot
constexpr double ROUNDED = 4.5e-16;  // four roundings: each term of the bound by duality has no more

constexpr int NONE = INT_MIN;  // constraints of the norm have negative numbers

double dot(const double* a, const double* b, int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace

Projector::Projector(const Nearness& near, const SearchKernels& kernels)
    : near_(near),
      k_(kernels),
      d_((int)near.centre.size()),
      most_(near.norm == Nearness::Norm::two        ? d_
            : near.norm == Nearness::Norm::infinite ? d_ + 1
                                                    : 2 * d_),
      y_(d_),
      v_(packed(d_)),
      normals_((size_t)(d_ + 1) * d_),
      gram_((size_t)d_ * d_),
      rhs_(d_ + 1),
      step_(d_ + 1),
      z_(2 * (size_t)d_),
      basis_(near.norm == Nearness::Norm::two ? 0 : (size_t)most_ * most_),
      inverse_(basis_.size()),
      side_(most_),
      x_(most_),
      alpha_(most_) {}

double Projector::length(const double* y) const {
    double sum = 0, top = 0, square = 0;
    for (int i = 0; i < d_; ++i) {
        const double a = std::abs(y[i]);
        sum += a, square += a * a, top = std::max(top, a);
    }
    return near_.norm == Nearness::Norm::two ? std::sqrt(square) : near_.norm == Nearness::Norm::one ? sum : top;
}

double Projector::dual_length(const double* g) const {
    double sum = 0, top = 0, square = 0;
    for (int i = 0; i < d_; ++i) {
        const double a = std::abs(g[i]);
        sum += a, square += a * a, top = std::max(top, a);
    }
    return near_.norm == Nearness::Norm::two ? std::sqrt(square) : near_.norm == Nearness::Norm::one ? top : sum;
}

void Projector::start(double* foot) const { std::fill(foot, foot + Foot::size(d_), 0.0); }

bool Projector::is_beyond(const Cuts& cuts, int row, const double* foot) const {
    double sum = 0;
    for (int i = 0; i < d_; ++i) sum += cuts.a(row, i) * (near_.centre[i] + foot[i] / near_.weight[i]);
    return sum > cuts.b(row) + FEASIBLE;
}

double Projector::to_row(const double* a, int step, double sign, double b) {
    double at = 0, size = std::abs(b);
    for (int i = 0; i < d_; ++i) {
        const double n = sign * a[(size_t)i * step];
        at += n * near_.centre[i];
        size += std::abs(n * near_.centre[i]);
        z_[i] = n / near_.weight[i];
    }
    const double gap = at - b - ROUNDED * (d_ + 4) * size, length = dual_length(z_.data());
    return gap > 0 && length > 0 ? gap / length * (1 - ROUNDED * (d_ + 4)) : 0;
}

// ---- constraints n.y <= c in the coordinates y
void Projector::normal(const Cuts& cuts, int id, double* n) const {
    if (id >= 2 * d_) {
        for (int i = 0; i < d_; ++i) n[i] = cuts.a(id - 2 * d_, i) / near_.weight[i];
        return;
    }
    std::fill(n, n + d_, 0.0);
    n[id / 2] = (id % 2 ? -1 : 1) / near_.weight[id / 2];
}

double Projector::offset(const Cuts& cuts, int id) const {
    if (id < 2 * d_) return id % 2 ? 1 + near_.centre[id / 2] : 1 - near_.centre[id / 2];
    double c = cuts.b(id - 2 * d_);
    for (int i = 0; i < d_; ++i) c -= cuts.a(id - 2 * d_, i) * near_.centre[i];
    return c;
}

// What the multipliers prove, roundings taken off.
double Projector::bound(const Cuts& cuts) const {
    double gain = 0, lost = 0, blurred = 0;
    std::vector<double> sum(d_, 0.0), n(d_);
    for (size_t q = 0; q < ids_.size(); ++q) {
        const double l = multiplier_[q];
        if (ids_[q] < 0 || !(l > 0)) continue;
        normal(cuts, ids_[q], n.data());
        gain -= l * offset(cuts, ids_[q]);
        double size = 1;
        if (ids_[q] >= 2 * d_) {
            size = std::abs(cuts.b(ids_[q] - 2 * d_));
            for (int i = 0; i < d_; ++i) size += std::abs(cuts.a(ids_[q] - 2 * d_, i) * near_.centre[i]);
        } else {
            size += std::abs(near_.centre[ids_[q] / 2]);
        }
        lost += l * size;
        for (int i = 0; i < d_; ++i) sum[i] += l * n[i];
        blurred += l * dual_length(n.data());
    }
    const double slip = ROUNDED * (d_ + 4 + (double)ids_.size());
    const double length = dual_length(sum.data()) + slip * blurred;
    gain -= slip * (lost + std::abs(gain));
    return gain > 0 && length > 0 ? gain / length : 0;
}

// The constraint that y_ violates most, -1 when none; those in ids_ hold it and are not looked at.
int Projector::worst_row(const Cuts& cuts, double* violation) {
    for (int i = 0; i < d_; ++i) v_[i] = near_.centre[i] + y_[i] / near_.weight[i];
    slack_.resize(packed(cuts.size()) + PACK);
    k_.slacks(cuts.rows(1.0), v_.data(), slack_.data());
    const auto held = [&](int id) { return std::find(ids_.begin(), ids_.end(), id) != ids_.end(); };
    double least = -FEASIBLE;
    int worst = -1;
    for (int r = 0; r < cuts.size(); ++r)
        if (slack_[r] < least && !held(2 * d_ + r)) worst = 2 * d_ + r, least = slack_[r];
    for (int i = 0; i < d_; ++i) {
        const double s = 1 - std::abs(v_[i]);
        const int id = 2 * i + (v_[i] < 0);
        if (s < least && !held(id)) worst = id, least = s;
    }
    *violation = -least;
    return worst;
}

double Projector::project(const Cuts& cuts, const double* from, double* to, double stop) {
    std::copy(from, from + d_, y_.begin());
    const int n = (int)from[d_];
    ids_.resize(n);
    multiplier_.resize(n);
    for (int q = 0; q < n; ++q) ids_[q] = (int)from[d_ + 1 + q], multiplier_[q] = from[3 * d_ + 1 + q];
    const double distance = near_.norm == Nearness::Norm::two ? euclidean(cuts, stop) : polyhedral(cuts, stop);
    std::copy(y_.begin(), y_.end(), to);
    to[d_] = (double)ids_.size();
    for (size_t q = 0; q < ids_.size(); ++q) to[d_ + 1 + q] = ids_[q], to[3 * d_ + 1 + q] = multiplier_[q];
    return distance;
}

// ---- p = 2
// N N^T = L L^T, N the first k rows of normals_; false when they are dependent.
bool Projector::factor(int k) {
    double* L = gram_.data();
    for (int i = 0; i < k; ++i)
        for (int j = 0; j <= i; ++j) {
            double sum = dot(&normals_[(size_t)i * d_], &normals_[(size_t)j * d_], d_);
            const double whole = sum;
            for (int q = 0; q < j; ++q) sum -= L[i * d_ + q] * L[j * d_ + q];
            if (i == j) {
                if (!(sum > DEPENDENT * whole)) return false;
                L[i * d_ + i] = std::sqrt(sum);
            } else {
                L[i * d_ + j] = sum / L[j * d_ + j];
            }
        }
    return true;
}

// x := (L L^T)^-1 x
void Projector::solve(int k, double* x) const {
    const double* L = gram_.data();
    for (int i = 0; i < k; ++i) {
        for (int q = 0; q < i; ++q) x[i] -= L[i * d_ + q] * x[q];
        x[i] /= L[i * d_ + i];
    }
    for (int i = k; i-- > 0;) {
        for (int q = i + 1; q < k; ++q) x[i] -= L[q * d_ + i] * x[q];
        x[i] /= L[i * d_ + i];
    }
}

// The foot by its constraints alone, since what the steps have rounded adds up. Rows that meet at an angle t magnify
// rounding by 1 / t^2 here, so the residuals are corrected.
void Projector::settle(const Cuts& cuts) {
    const int k = (int)ids_.size();
    std::vector<double> c(k), l(k), foot(d_, 0.0);
    for (int q = 0; q < k; ++q) c[q] = l[q] = -offset(cuts, ids_[q]);
    if (!factor(k)) return;
    for (int turn = 0; turn < REFINED; ++turn) {
        for (int q = 0; q < k; ++q) rhs_[q] = c[q] + (turn ? dot(&normals_[(size_t)q * d_], foot.data(), d_) : 0);
        solve(k, rhs_.data());
        for (int q = 0; q < k; ++q) {
            l[q] = turn ? l[q] + rhs_[q] : rhs_[q];
            for (int i = 0; i < d_; ++i) foot[i] -= rhs_[q] * normals_[(size_t)q * d_ + i];
        }
    }
    if (k && *std::min_element(l.begin(), l.end()) < 0) return;
    multiplier_ = std::move(l);
    y_ = std::move(foot);
}

double Projector::euclidean(const Cuts& cuts, double stop) {
    for (size_t q = 0; q < ids_.size(); ++q) normal(cuts, ids_[q], &normals_[q * d_]);
    double best = bound(cuts), violation;
    const int most = 100 + 10 * (cuts.size() + 2 * d_);
    std::vector<double> g(d_);
    for (int turn = 0; turn < most && best <= stop; ++turn) {
        const int id = worst_row(cuts, &violation);
        if (id < 0) break;
        normal(cuts, id, g.data());
        const double c = offset(cuts, id);
        double mine = 0;
        for (bool inside = false; !inside;) {
            const int k = (int)ids_.size();
            for (int q = 0; q < k; ++q) step_[q] = dot(&normals_[(size_t)q * d_], g.data(), d_);
            if (k) {
                if (!factor(k)) return best;
                solve(k, step_.data());
            }
            for (int i = 0; i < d_; ++i) z_[i] = g[i];
            for (int q = 0; q < k; ++q)
                for (int i = 0; i < d_; ++i) z_[i] -= step_[q] * normals_[(size_t)q * d_ + i];
            const double room = dot(z_.data(), z_.data(), d_), whole = dot(g.data(), g.data(), d_);
            const double beyond = dot(g.data(), y_.data(), d_) - c;
            const bool spanned = k == d_ || room <= DEPENDENT * whole;
            double full = spanned ? INFINITY : std::max(beyond, 0.0) / room, part = INFINITY;
            int out = -1;
            for (int q = 0; q < k; ++q)
                if (step_[q] > 0 && multiplier_[q] < part * step_[q]) part = multiplier_[q] / step_[q], out = q;
            if (out < 0 && spanned) return best;  // empty, but for rounding
            const double t = std::min(full, part);
            for (int q = 0; q < k; ++q) multiplier_[q] = std::max(multiplier_[q] - t * step_[q], 0.0);
            mine += t;
            if (!spanned)
                for (int i = 0; i < d_; ++i) y_[i] -= t * z_[i];
            inside = full <= part;
            if (inside) {
                std::copy(g.begin(), g.end(), normals_.begin() + (size_t)k * d_);
                ids_.push_back(id);
                multiplier_.push_back(mine);
            } else {
                std::copy(normals_.begin() + (size_t)(out + 1) * d_, normals_.begin() + (size_t)k * d_,
                          normals_.begin() + (size_t)out * d_);
                ids_.erase(ids_.begin() + out);
                multiplier_.erase(multiplier_.begin() + out);
            }
        }
        settle(cuts);
        best = std::max(best, bound(cuts));
    }
    return best;
}

// ---- p = 1 and infinity: x = (y, t)
// Number -1 - 2 i is y_i <= t, -2 - 2 i is -y_i <= t; t is t_i when p = 1.
void Projector::lifted(const Cuts& cuts, int id, double* row, double* rhs) const {
    std::fill(row, row + most_, 0.0);
    *rhs = 0;
    if (id >= 0) {
        normal(cuts, id, row);
        *rhs = offset(cuts, id);
        return;
    }
    const int axis = (-1 - id) / 2;
    row[axis] = (-1 - id) % 2 ? -1 : 1;
    row[near_.norm == Nearness::Norm::one ? d_ + axis : d_] = -1;
}

void Projector::first_basis() {
    ids_.clear();
    for (int i = 0; i < d_; ++i) ids_.push_back(-1 - 2 * i);
    for (int i = 0; i < most_ - d_; ++i) ids_.push_back(-2 - 2 * i);
}

// The inverse of the matrix of the rows in ids_, the point where all are tight, and the multipliers.
bool Projector::invert(const Cuts& cuts) {
    const int n = most_;
    for (int q = 0; q < n; ++q) lifted(cuts, ids_[q], &basis_[(size_t)q * n], &side_[q]);
    std::fill(inverse_.begin(), inverse_.end(), 0.0);
    for (int q = 0; q < n; ++q) inverse_[(size_t)q * n + q] = 1;
    for (int c = 0; c < n; ++c) {
        int top = c;
        for (int r = c + 1; r < n; ++r)
            if (std::abs(basis_[(size_t)r * n + c]) > std::abs(basis_[(size_t)top * n + c])) top = r;
        const double pivot = basis_[(size_t)top * n + c];
        if (!(std::abs(pivot) > 1e-13)) return false;
        if (top != c)
            for (int i = 0; i < n; ++i) {
                std::swap(basis_[(size_t)top * n + i], basis_[(size_t)c * n + i]);
                std::swap(inverse_[(size_t)top * n + i], inverse_[(size_t)c * n + i]);
            }
        for (int i = 0; i < n; ++i) basis_[(size_t)c * n + i] /= pivot, inverse_[(size_t)c * n + i] /= pivot;
        for (int r = 0; r < n; ++r) {
            const double f = basis_[(size_t)r * n + c];
            if (r == c || f == 0) continue;
            for (int i = 0; i < n; ++i) {
                basis_[(size_t)r * n + i] -= f * basis_[(size_t)c * n + i];
                inverse_[(size_t)r * n + i] -= f * inverse_[(size_t)c * n + i];
            }
        }
    }
    multiplier_.assign(n, 0.0);  // of -t or -sum t: minus the rows of the inverse that belong to t
    for (int r = d_; r < n; ++r)
        for (int q = 0; q < n; ++q) multiplier_[q] -= inverse_[(size_t)r * n + q];
    return true;
}

int Projector::worst_lifted(const Cuts& cuts) {
    double violation;
    int worst = worst_row(cuts, &violation);
    if (worst < 0) worst = NONE, violation = FEASIBLE;
    const bool one = near_.norm == Nearness::Norm::one;
    for (int i = 0; i < d_; ++i)
        for (double sign : {1.0, -1.0}) {
            const int id = -1 - 2 * i - (sign < 0);
            const double over = (sign * y_[i] - x_[one ? d_ + i : d_]) / near_.weight[i];
            if (over > violation && std::find(ids_.begin(), ids_.end(), id) == ids_.end()) worst = id, violation = over;
        }
    return worst;
}

double Projector::polyhedral(const Cuts& cuts, double stop) {
    const int n = most_;
    const int most = 100 + 10 * (cuts.size() + 4 * d_);
    if (ids_.empty()) first_basis();
    if (!invert(cuts)) {
        first_basis();
        invert(cuts);
    }
    double best = 0;
    std::vector<double> row(n);
    for (int turn = 0;; ++turn) {
        if (turn % 40 == 39 && !invert(cuts)) return best;
        for (int r = 0; r < n; ++r) x_[r] = dot(&inverse_[(size_t)r * n], side_.data(), n);
        std::copy(x_.begin(), x_.begin() + d_, y_.begin());
        best = std::max(best, bound(cuts));
        if (best > stop || turn >= most) return best;
        const int id = worst_lifted(cuts);
        if (id == NONE) return best;
        double rhs;
        lifted(cuts, id, row.data(), &rhs);
        std::fill(alpha_.begin(), alpha_.end(), 0.0);
        for (int r = 0; r < n; ++r)
            if (row[r] != 0)
                for (int q = 0; q < n; ++q) alpha_[q] += row[r] * inverse_[(size_t)r * n + q];
        double least = INFINITY, size = 0;
        for (int q = 0; q < n; ++q) size = std::max(size, std::abs(alpha_[q]));
        int out = -1;
        for (int q = 0; q < n; ++q) {
            if (!(alpha_[q] > 1e-11 * size)) continue;
            const double ratio = std::max(multiplier_[q], 0.0) / alpha_[q];
            if (ratio < least || (ratio == least && alpha_[q] > alpha_[out])) least = ratio, out = q;
        }
        if (out < 0) return best;  // empty, but for rounding
        for (int q = 0; q < n; ++q) multiplier_[q] -= least * alpha_[q];
        multiplier_[out] = least;
        for (int r = 0; r < n; ++r) {
            double* at = &inverse_[(size_t)r * n];
            const double f = at[out] / alpha_[out];
            for (int q = 0; q < n; ++q) at[q] -= alpha_[q] * f;
            at[out] = f;
        }
        ids_[out] = id;
        side_[out] = rhs;
    }
}

}  // namespace pellucid
