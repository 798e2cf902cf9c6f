// How far the maps that an engine decides by can be from the true ones, found while it decides (design/rounding.md).
#pragma once
#include <cmath>

#include "chain.hpp"

namespace pellucid {

// The bound of the pre-activation errors on the path to the cell that is being looked at. e_j >= |computed - true| of
// row j at every point of [-1, 1]^d, in the 1-norm of its map, and with m_j that norm of the computed row,
//     e' = |A| (|slope| e + gamma t) + gamma |a|,     t = the sizes of all terms that a unit's output was summed up of,
// t from m (+ 2 e, since an engine may have summed the same map in another order). Nothing is kept with cells: a walk
// in depth comes to a stage with the last path still standing up to the stage before; where it does not, as in a cell
// from another thread, the path is made anew from the code.
class RoundingWatch {
  public:
    // first: bounds of e for the rows of stage 0 (of the outputs, if there is none); empty: nothing is watched.
    // against: what signs are decided by. centre, half: the box that is [-1, 1]^d to the engine.
    RoundingWatch(const Chain& chain, const std::vector<double>& first, const std::vector<std::vector<double>>& against,
                  const double* centre, const double* half)
        : chain_(chain), k_(kernels()), first_(first), against_(against), d_(chain.inputs) {
        if (first.empty()) return;
        const size_t stages = chain.stages.size();
        levels_.resize(stages + 1);
        terms_.resize(stages);
        for (size_t l = 0; l <= stages; ++l) {
            const size_t ld = (size_t)chain.map(l).ld;
            levels_[l].error.assign(ld, 0.0);
            levels_[l].size.assign(ld, 0.0);
            worst_.emplace_back(ld, 0.0);
            if (l < stages) terms_[l] = terms_of(*chain.stages[l]);
        }
        std::copy(first.begin(), first.end(), levels_[0].error.begin());
        make_masks();
        root_.assign((size_t)d_ * (d_ + 1), 0.0);
        for (int i = 0; i < d_; ++i) root_[(size_t)i * d_ + i] = half[i], root_[(size_t)d_ * d_ + i] = centre[i];
    }

    // The engine decides by the map of this stage (the outputs: one beyond the last) on a cell with these pieces.
    // by_sign: only by which side of breakpoints its rows are on, so that those that stay clear of them, by more than
    // the bound, are right whatever the bound is.
    void enter(int stage, const double* map, const uint64_t* code, bool by_sign = true) {
        if (first_.empty()) return;
        if (stage > 0 && !stands(stage - 1, code)) remake(stage - 1, code);
        take(stage, map, code);
        const Level& at = levels_[stage];
        const double gamma = gamma_of(d_ + 4);  // what a value at a vertex, or a difference of two, rounds off itself
        double* worst = worst_[stage].data();
        const double *e = at.error.data(), *m = at.size.data();
        const double* tolerance = against_[stage].data();
        const int n = chain_.map(stage).rows;
        int large = 0;
        for (int j = 0; j < n; ++j) large |= e[j] + gamma * m[j] > SMALL * tolerance[j];
        for (int j = 0; j < n; ++j) {
            const double bound = e[j] + gamma * m[j];
            if (large && by_sign && bound > SMALL * tolerance[j] && is_clear(stage, map, j, bound)) continue;
            worst[j] =
                std::isnan(bound) ? HUGE_VAL : std::max(worst[j], bound);  // no number: overflow, nothing is known
        }
    }

    // The largest e, with the roundings of a value at a vertex, of each row so far. Empty where nothing is watched.
    const std::vector<std::vector<double>>& worst() const { return worst_; }

    static void merge(std::vector<std::vector<double>>& into, const std::vector<std::vector<double>>& from) {
        if (into.empty()) into.resize(from.size());
        for (size_t l = 0; l < from.size(); ++l) {
            into[l].resize(from[l].size(), 0.0);
            for (size_t j = 0; j < from[l].size(); ++j) into[l][j] = std::max(into[l][j], from[l][j]);
        }
    }

  private:
    static constexpr double SMALL = 1.0 / 16;  // of what is decided against: below, nobody asks where the row is

    struct Level {
        std::vector<double> error, size;  // of each row: e and m
        std::vector<uint64_t> code;       // of the stages before
        bool made = false;
    };

    // Of each piece of each output: sizes of what it is summed up of, beginning from the lowest piece, which is what an
    // engine does at worst.
    struct Terms {
        std::vector<double> steep, slope, offset;
        std::vector<int> count;
    };

    // Where the piece of an output stands in a code; nothing of it where there is but one.
    struct Bits {
        int word = 0, shift = 0;
        uint64_t mask = 0;
    };

    const Chain& chain_;
    const Kernels& k_;
    const std::vector<double>& first_;
    const std::vector<std::vector<double>>& against_;
    int d_;
    std::vector<double> root_;  // the inputs as maps of the box
    std::vector<Level> levels_;
    std::vector<Terms> terms_;
    std::vector<std::vector<double>> worst_;
    std::vector<std::vector<Bits>> bits_;
    std::vector<std::vector<uint64_t>> mask_;  // [stage]: the bits of the columns of earlier stages
    std::vector<double> weight_, held_;        // scratch
    std::vector<int> columns_;

    static double gamma_of(int n) {
        const double u = n * 0x1p-53;
        return u / (1 - u);
    }

    static Terms terms_of(const Stage& s) {
        Terms t;
        if (s.kind == Stage::Kind::selection) return t;
        for (int i = 0; i < s.outputs; ++i) {
            double slope = 0, offset = 0;
            int count = 0;
            for (int p = 0; p < s.n_pieces[i]; ++p) {
                const int at = s.ptr[i] + i + p;
                if (p == 0) {
                    slope = std::abs(s.slopes[at]), offset = std::abs(s.offsets[at]);
                    count = slope > 0 || offset > 0;
                } else {
                    const double jump = std::abs(s.slopes[at] - s.slopes[at - 1]);
                    slope += jump;
                    offset += std::abs(s.offsets[at] - s.offsets[at - 1]) + 2 * jump * std::abs(s.breaks[at - i - 1]);
                    ++count;
                }
                t.steep.push_back(std::abs(s.slopes[at]));
                t.slope.push_back(slope);
                t.offset.push_back(offset);
                t.count.push_back(count);
            }
        }
        return t;
    }

    void make_masks() {
        std::vector<uint64_t> so_far(chain_.packing.words, 0);
        for (const auto& columns : chain_.column) {
            mask_.push_back(so_far);
            auto& mine = bits_.emplace_back();
            for (int c : columns) {
                mine.emplace_back();
                if (c < 0) continue;
                const Place at = chain_.packing.places[c];
                mine.back() = {at.word, at.shift, (uint64_t(1) << chain_.packing.widths[c]) - 1};
                so_far[at.word] |= mine.back().mask << at.shift;
            }
        }
        mask_.push_back(so_far);
    }

    int piece(int stage, int output, const uint64_t* code) const {
        const Bits at = bits_[stage][output];
        return at.mask ? (int)(code[at.word] >> at.shift & at.mask) : 0;  // without columns there is no code
    }

    // Does the row stay farther than twice the bound from all its breakpoints in the whole box?
    bool is_clear(int stage, const double* map, int j, double bound) const {
        if (stage == (int)chain_.stages.size()) return false;
        const Stage& s = *chain_.stages[stage];
        if (s.kind == Stage::Kind::selection) return false;
        const double h = map[(size_t)d_ * chain_.map(stage).ld + j], reach = levels_[stage].size[j] - std::abs(h);
        for (int q = s.ptr[j]; q < s.ptr[j + 1]; ++q)
            if (!(std::abs(h - s.breaks[q]) - reach > 2 * bound)) return false;
        return true;
    }

    // Is this level of the path that of the code?
    bool stands(int level, const uint64_t* code) const {
        const Level& at = levels_[level];
        if (!at.made) return false;
        for (size_t w = 0; w < at.code.size(); ++w)
            if ((code[w] & mask_[level][w]) != at.code[w]) return false;
        return true;
    }

    // A level from the one before it, which stands, and the engine's map.
    void take(int level, const double* map, const uint64_t* code) {
        Level& at = levels_[level];
        const int ld = (int)at.size.size();
        for (int j = 0; j < ld; ++j) at.size[j] = std::abs(map[j]);
        for (int c = 1; c <= d_; ++c)
            for (int j = 0; j < ld; ++j) at.size[j] += std::abs(map[(size_t)c * ld + j]);
        if (level > 0) propagate(level, code);
        at.code.resize(mask_[level].size());
        for (size_t w = 0; w < at.code.size(); ++w) at.code[w] = code[w] & mask_[level][w];
        at.made = true;
    }

    void propagate(int level, const uint64_t* code) {
        const Stage& s = *chain_.stages[level - 1];
        const Level& before = levels_[level - 1];
        const Affine& A = chain_.map(level);
        weight_.resize(s.outputs);
        held_.resize(s.outputs);
        columns_.resize(s.outputs);
        int k = 0, terms = 1;
        for (int i = 0; i < s.outputs; ++i) {
            const int p = piece(level - 1, i, code);
            double e, t;
            if (s.kind == Stage::Kind::selection) {
                const int row = s.members[s.ptr[i] + p];
                e = before.error[row], t = before.size[row] + 2 * e;
                ++terms;
            } else {
                const Terms& of = terms_[level - 1];
                const int at = s.ptr[i] + i + p;
                e = of.steep[at] * before.error[i];
                t = of.slope[at] * (before.size[i] + 2 * before.error[i]) + of.offset[at];
                if (!(t > 0)) continue;  // nothing but exact zeros
                terms += of.count[at];
            }
            weight_[i] = e;
            held_[i] = t;
            columns_[k++] = i;
        }
        const double gamma = gamma_of(terms + 8);
        for (int q = 0; q < k; ++q) weight_[columns_[q]] += gamma * held_[columns_[q]];
        double* error = levels_[level].error.data();
        if (A.sparse) {
            std::fill_n(error, A.ld, 0.0);
            for (int q = 0; q < k; ++q)
                for (int64_t x = A.col_ptr[columns_[q]]; x < A.col_ptr[columns_[q] + 1]; ++x)
                    error[A.col_row[x]] += std::abs(A.col_val[x]) * weight_[columns_[q]];
        } else {
            k_.magnitude(A.tiles.data(), A.ld / TILE, A.cols, columns_.data(), k, weight_.data(), error);
        }
        for (int j = 0; j < A.rows; ++j) error[j] += gamma * std::abs(A.bias[j]);
    }

    // All levels up to this one, by maps made from the code.
    void remake(int level, const uint64_t* code) {
        std::vector<double> inputs = root_, map;
        for (int l = 0;; ++l) {
            const Affine& A = chain_.map(l);
            map.assign((size_t)(d_ + 1) * A.ld, 0.0);
            for (int c = 0; c <= d_; ++c) times(A, inputs.data() + (size_t)c * A.cols, map.data() + (size_t)c * A.ld);
            for (int j = 0; j < A.rows; ++j) map[(size_t)d_ * A.ld + j] += A.bias[j];
            take(l, map.data(), code);
            if (l == level) return;
            const Stage& s = *chain_.stages[l];
            inputs.assign((size_t)(d_ + 1) * s.outputs, 0.0);
            for (int i = 0; i < s.outputs; ++i) {
                const int p = piece(l, i, code);
                const bool selects = s.kind == Stage::Kind::selection;
                const int row = selects ? s.members[s.ptr[i] + p] : i, at = s.ptr[i] + i + p;
                const double slope = selects ? 1.0 : s.slopes[at];
                for (int c = 0; c <= d_; ++c) inputs[(size_t)c * s.outputs + i] = slope * map[(size_t)c * A.ld + row];
                if (!selects) inputs[(size_t)d_ * s.outputs + i] += s.offsets[at];
            }
        }
    }

    static void times(const Affine& A, const double* s, double* out) {
        for (int col = 0; col < A.cols; ++col) {
            if (s[col] == 0) continue;
            if (A.sparse)
                for (int64_t x = A.col_ptr[col]; x < A.col_ptr[col + 1]; ++x)
                    out[A.col_row[x]] += A.col_val[x] * s[col];
            else
                for (int r = 0; r < A.rows; ++r)
                    out[r] += A.tiles[((size_t)(r / TILE) * A.cols + col) * TILE + r % TILE] * s[col];
        }
    }
};

}  // namespace pellucid
