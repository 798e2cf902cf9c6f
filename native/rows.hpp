// Rows of data through a chain: the code of each, its outputs, and whether it lies so near to a face that its code may
// be that of no region.
//
// A unit that is constant at a breakpoint over the whole region (nothing that it reads moves) is given its lower piece
// here, among equal constants the first wins: these are the canonical codes. What depends on the row's place in its
// region, a unit that only passes its breakpoint there, is left to the caller.
//
// All rows get the same arithmetic, whatever their number: codes do not depend on how the data is cut into batches.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "chain.hpp"
#include "parallel.hpp"

namespace pellucid {

// f(column, value) for the entries of row i that are not zero.
template <class F>
inline void each_entry(const Affine& A, int i, F f) {
    if (A.sparse) {
        for (int64_t q = A.row_ptr[i]; q < A.row_ptr[i + 1]; ++q)
            if (A.row_val[q] != 0) f(A.row_col[q], A.row_val[q]);
    } else {
        const double* tile = A.tiles.data() + (size_t)(i / TILE) * A.cols * TILE + i % TILE;
        for (int j = 0; j < A.cols; ++j)
            if (tile[(size_t)j * TILE] != 0) f(j, tile[(size_t)j * TILE]);
    }
}

class RowEncoder {
  public:
    // near: what counts as on a breakpoint, relative to the sizes of the terms that a unit adds up.
    RowEncoder(std::shared_ptr<const Chain> chain, double near) : chain_(std::move(chain)), k_(kernels()) {
        int most = padded(std::max(chain_->inputs, 1));
        for (const auto& s : chain_->stages) {
            most = std::max({most, s->in.ld, padded(s->outputs)});
            auto& rel = rel_.emplace_back(s->in.ld, 0.0);
            auto& abs = abs_.emplace_back(s->in.ld, 0.0);
            for (int i = 0; i < s->in.rows; ++i) {
                each_entry(s->in, i, [&](int, double v) { rel[i] += std::fabs(v); });
                rel[i] *= near;
                double size = std::fabs(s->in.bias[i]);
                if (s->kind == Stage::Kind::simple && std::isfinite(s->level[i])) size += std::fabs(s->level[i]);
                if (s->kind == Stage::Kind::pieces)
                    for (int b = s->ptr[i]; b < s->ptr[i + 1]; ++b) size += std::fabs(s->breaks[b]);
                abs[i] = near * size;
            }
        }
        wide_ = std::max(most, chain_->out->ld);
        zero_.assign(wide_, 0.0);
        columns_.resize(wide_);
        for (int i = 0; i < wide_; ++i) columns_[i] = i;
    }

    const Chain& chain() const { return *chain_; }

    // codes: (n, words). face: (n,) 1 where a unit that moves is on a breakpoint. y: (n, outputs), or null.
    void run(const double* x, size_t n, int threads, uint64_t* codes, uint8_t* face, double* y) const {
        constexpr size_t BLOCK = 3 * 512;
        in_parallel(threads, (n + BLOCK - 1) / BLOCK, [&](size_t b) {
            Scratch w(wide_, chain_->inputs);
            const size_t end = std::min(n, (b + 1) * BLOCK), words = (size_t)chain_->packing.words;
            std::fill(codes + b * BLOCK * words, codes + end * words, uint64_t(0));
            for (size_t i = b * BLOCK; i < end; i += 3)
                three(w, x + i * chain_->inputs, (int)std::min<size_t>(3, end - i), codes + i * words, face + i,
                      y ? y + i * chain_->out->rows : nullptr);
        });
    }

  private:
    std::shared_ptr<const Chain> chain_;
    const Kernels& k_;
    std::vector<std::vector<double>> rel_, abs_;
    std::vector<double> zero_;
    std::vector<int> columns_;
    int wide_ = 0;

    struct Scratch {
        Scratch(int wide, int inputs) : lds(wide), z(3 * (size_t)wide), s(3 * (size_t)wide), flat(3 * (size_t)wide) {
            (void)inputs;
        }
        int lds;
        std::vector<double> z, s, spread;
        std::vector<uint8_t> flat;  // is this output of the last stage the same all over the region?
    };

    void multiply(const Affine& A, Scratch& w) const {
        if (A.sparse) {
            w.spread.resize(4 * (size_t)A.cols);
            for (int q = 0; q < A.cols; ++q)
                for (int c = 0; c < 3; ++c) w.spread[4 * (size_t)q + c] = w.s[(size_t)c * w.lds + q];
            k_.sparse_product(A.row_ptr.data(), A.row_col.data(), A.row_val.data(), A.rows, A.ld, w.spread.data(),
                              zero_.data(), w.z.data());
        } else {
            k_.product(A.tiles.data(), A.rows, A.cols, columns_.data(), A.cols, w.s.data(), w.lds, zero_.data(),
                       w.z.data());
        }
        for (int p = 0; p < 3; ++p) {
            double* z = w.z.data() + (size_t)p * A.ld;
            for (int i = 0; i < A.rows; ++i) z[i] += A.bias[i];
        }
    }

    void three(Scratch& w, const double* x, int n, uint64_t* codes, uint8_t* face, double* y) const {
        const Chain& c = *chain_;
        for (int p = 0; p < 3; ++p)
            for (int i = 0; i < c.inputs; ++i) w.s[(size_t)p * w.lds + i] = p < n ? x[(size_t)p * c.inputs + i] : 0;
        std::fill(w.flat.begin(), w.flat.end(), uint8_t(0));
        std::fill(face, face + n, uint8_t(0));
        int width = c.inputs;
        for (size_t l = 0; l < c.stages.size(); ++l) {
            multiply(c.stages[l]->in, w);
            for (int p = 0; p < n; ++p) stage(w, l, p, width, codes + (size_t)p * c.packing.words, face[p]);
            width = c.stages[l]->outputs;
        }
        if (!y) return;
        multiply(*c.out, w);
        for (int p = 0; p < n; ++p)
            std::copy_n(w.z.data() + (size_t)p * c.out->ld, c.out->rows, y + (size_t)p * c.out->rows);
    }

    static double largest(const double* s, int n) {
        double m[4] = {0, 0, 0, 0};
        int i = 0;
        for (; i + 4 <= n; i += 4)
            for (int q = 0; q < 4; ++q) m[q] = std::max(m[q], std::fabs(s[i + q]));
        for (; i < n; ++i) m[0] = std::max(m[0], std::fabs(s[i]));
        return std::max(std::max(m[0], m[1]), std::max(m[2], m[3]));
    }

    void stage(Scratch& w, size_t l, int p, int width, uint64_t* code, uint8_t& face) const {
        const Stage& s = *chain_->stages[l];
        double* z = w.z.data() + (size_t)p * s.in.ld;
        double* out = w.s.data() + (size_t)p * w.lds;
        uint8_t* flat = w.flat.data() + (size_t)p * w.lds;
        const double size = largest(out, width);
        if (s.kind == Stage::Kind::simple) {
            const double *level = s.level.data(), *rel = rel_[l].data(), *abs = abs_[l].data();
            int any = 0;
            for (int i = 0; i < s.outputs; ++i) any |= std::fabs(z[i] - level[i]) <= rel[i] * size + abs[i];
            if (any)
                for (int i = 0; i < s.outputs; ++i)
                    if (std::fabs(z[i] - level[i]) <= rel[i] * size + abs[i]) settle(w, l, p, i, level[i], face);
            if (s.zero_below && s.same_above && chain_->first_bit[l] >= 0)
                relu(s, chain_->first_bit[l], z, out, flat, code);
            else
                simple(s, l, z, out, flat, code);
        } else if (s.kind == Stage::Kind::pieces) {
            for (int i = 0; i < s.outputs; ++i)
                for (int b = s.ptr[i]; b < s.ptr[i + 1]; ++b)
                    if (std::fabs(z[i] - s.breaks[b]) <= rel_[l][i] * size + abs_[l][i])
                        settle(w, l, p, i, s.breaks[b], face);
            pieces(s, l, z, out, flat, code);
        } else {
            select(w, l, p, size, code, face);
        }
    }

    // Unit i is at its breakpoint t: for good, then it takes the lower piece, or at this row only.
    void settle(Scratch& w, size_t l, int p, int i, double t, uint8_t& face) const {
        if (is_constant(w, l, p, i))
            w.z[(size_t)p * chain_->stages[l]->in.ld + i] = std::nextafter(t, -std::numeric_limits<double>::infinity());
        else
            face = 1;
    }

    // Does row i of stage l read nothing that moves? `flat` is still that of the stage before.
    bool is_constant(const Scratch& w, size_t l, int p, int i) const {
        const uint8_t* flat = w.flat.data() + (size_t)p * w.lds;
        bool moves = false;
        each_entry(chain_->stages[l]->in, i, [&](int j, double) { moves = moves || l == 0 || !flat[j]; });
        return !moves;
    }

    // ReLU and its like, whose code bits stand side by side: no branches.
    static void relu(const Stage& s, int first, const double* z, double* out, uint8_t* flat, uint64_t* code) {
        const double* level = s.level.data();
        for (int i = 0; i < s.outputs; ++i) out[i] = z[i] >= level[i] ? z[i] : 0.0;
        for (int i = 0; i < s.outputs; ++i) flat[i] = !(z[i] >= level[i]);
        for (int i = 0; i < s.outputs;) {
            const int bit = first + i, n = std::min(64 - bit % 64, s.outputs - i);
            uint64_t bits = 0;
            for (int q = 0; q < n; ++q) bits |= (uint64_t)(z[i + q] >= level[i + q]) << (63 - q);
            code[bit / 64] |= bits >> (bit % 64);
            i += n;
        }
    }

    void set(uint64_t* code, size_t l, int i, uint64_t piece) const {
        const int column = chain_->column[l][i];
        if (column >= 0) code[chain_->packing.places[column].word] |= piece << chain_->packing.places[column].shift;
    }

    void simple(const Stage& s, size_t l, const double* z, double* out, uint8_t* flat, uint64_t* code) const {
        for (int i = 0; i < s.outputs; ++i) {
            const int piece = z[i] >= s.level[i];
            out[i] = s.slope[piece][i] * z[i] + s.offset[piece][i];
            flat[i] = s.slope[piece][i] == 0;
            set(code, l, i, (uint64_t)piece);
        }
    }

    void pieces(const Stage& s, size_t l, const double* z, double* out, uint8_t* flat, uint64_t* code) const {
        for (int i = 0; i < s.outputs; ++i) {
            const auto from = s.breaks.begin() + s.ptr[i], to = s.breaks.begin() + s.ptr[i + 1];
            const int piece = (int)(std::upper_bound(from, to, z[i]) - from), at = s.ptr[i] + i + piece;
            out[i] = s.slopes[at] * z[i] + s.offsets[at];
            flat[i] = s.slopes[at] == 0;
            set(code, l, i, (uint64_t)piece);
        }
    }

    void select(Scratch& w, size_t l, int p, double size, uint64_t* code, uint8_t& face) const {
        const Stage& s = *chain_->stages[l];
        const double* z = w.z.data() + (size_t)p * s.in.ld;
        double* out = w.s.data() + (size_t)p * w.lds;
        std::vector<double> value(s.outputs);
        std::vector<uint8_t> still(s.outputs);
        for (int g = 0; g < s.outputs; ++g) {
            const int* members = s.members.data() + s.ptr[g];
            const int m = s.ptr[g + 1] - s.ptr[g];
            int piece = 0;
            for (int b = 1; b < m; ++b)
                if (z[members[b]] > z[members[piece]]) piece = b;
            const int best = members[piece];
            auto floor = [&](int i) { return rel_[l][i] * size + abs_[l][i]; };
            int first = piece;
            bool open = false;
            for (int b = 0; b < m; ++b) {
                const int other = members[b];
                if (b == piece || z[best] - z[other] > floor(best) + floor(other)) continue;
                if (is_constant(w, l, p, best) && is_constant(w, l, p, other))
                    first = std::min(first, b);
                else
                    open = true;
            }
            if (open)
                face = 1;
            else
                piece = first;
            value[g] = z[members[piece]];
            still[g] = is_still(w, l, p, members[piece], value[g]);
            set(code, l, g, (uint64_t)piece);
        }
        std::copy(value.begin(), value.end(), out);
        std::copy(still.begin(), still.end(), w.flat.begin() + (ptrdiff_t)((size_t)p * w.lds));
    }

    // is_constant, not asked of long rows whose value shows that they read something.
    bool is_still(const Scratch& w, size_t l, int p, int i, double value) const {
        const Affine& A = chain_->stages[l]->in;
        return (A.sparse || value == A.bias[i]) && is_constant(w, l, p, i);
    }
};

// Codes -> affine maps, from the output backwards: only the units that are on cost anything.
class RowMaps {
  public:
    explicit RowMaps(std::shared_ptr<const Chain> chain) : chain_(std::move(chain)) {
        for (size_t l = 0; l <= chain_->stages.size(); ++l) {
            const Affine& A = chain_->map(l);
            auto& rows = rows_.emplace_back();
            if (A.sparse) continue;
            rows.assign((size_t)A.rows * A.cols, 0.0);
            for (int i = 0; i < A.rows; ++i)
                each_entry(A, i, [&](int j, double v) { rows[(size_t)i * A.cols + j] = v; });
        }
    }

    // coef: (n, outputs, inputs), intercept: (n, outputs).
    void run(const uint64_t* codes, size_t n, int threads, double* coef, double* intercept) const {
        constexpr size_t BLOCK = 256;
        const int c = chain_->out->rows, d = chain_->inputs, words = chain_->packing.words;
        in_parallel(threads, (n + BLOCK - 1) / BLOCK, [&](size_t b) {
            std::vector<double> from, to;
            for (size_t k = b * BLOCK; k < std::min(n, (b + 1) * BLOCK); ++k)
                for (int o = 0; o < c; ++o)
                    one(codes + k * words, o, from, to, coef + (k * c + o) * d, intercept[k * c + o]);
        });
    }

  private:
    std::shared_ptr<const Chain> chain_;
    std::vector<std::vector<double>> rows_;

    void one(const uint64_t* code, int output, std::vector<double>& w, std::vector<double>& next, double* coef,
             double& intercept) const {
        const Chain& c = *chain_;
        const size_t L = c.stages.size();
        double e = 0;
        w.assign(1, 1.0);
        add_rows(L, w, output, next, e);
        for (size_t l = L; l-- > 0;) {
            w.swap(next);
            through(l, code, w, e);
            add_rows(l, w, -1, next, e);
        }
        std::copy_n(next.data(), c.inputs, coef);
        intercept = e;
    }

    // next = w A, e += w a; w has the rows of A, or is the weight of the row `only`.
    void add_rows(size_t l, const std::vector<double>& w, int only, std::vector<double>& next, double& e) const {
        const Affine& A = chain_->map(l);
        next.assign((size_t)A.cols, 0.0);
        for (int q = 0; q < (int)w.size(); ++q) {
            const int i = only >= 0 ? only : q;
            const double v = w[q];
            if (v == 0) continue;
            e += v * A.bias[i];
            if (A.sparse) {
                for (int64_t r = A.row_ptr[i]; r < A.row_ptr[i + 1]; ++r) next[A.row_col[r]] += v * A.row_val[r];
            } else {
                const double* row = rows_[l].data() + (size_t)i * A.cols;
                for (int j = 0; j < A.cols; ++j) next[j] += v * row[j];
            }
        }
    }

    // From weights of a stage's outputs to weights of its rows.
    void through(size_t l, const uint64_t* code, std::vector<double>& w, double& e) const {
        const Chain& c = *chain_;
        const Stage& s = *c.stages[l];
        auto piece_of = [&](int i) {
            const int column = c.column[l][i];
            if (column < 0) return 0;
            const Place at = c.packing.places[column];
            return (int)(code[at.word] >> at.shift & ((uint64_t(1) << c.packing.widths[column]) - 1));
        };
        if (s.kind == Stage::Kind::selection) {
            std::vector<double> rows((size_t)s.in.rows, 0.0);
            for (int g = 0; g < s.outputs; ++g) rows[s.members[s.ptr[g] + piece_of(g)]] += w[g];
            w.swap(rows);
            return;
        }
        for (int i = 0; i < s.outputs; ++i) {
            if (w[i] == 0) continue;
            const int at = s.ptr[i] + i + piece_of(i);
            e += w[i] * s.offsets[at];
            w[i] *= s.slopes[at];
        }
    }
};

}  // namespace pellucid
