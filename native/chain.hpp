// The chain normal form as the kernels see it (SPEC 1): z = A s + a, then one function a row, or the largest of each
// group.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kernels.hpp"

namespace pellucid {

// A and a of an affine map, laid out for the kernels: dense in tiles of rows, or sparse by rows and by columns.
struct Affine {
    int rows = 0, cols = 0, ld = 0;
    bool sparse = false;
    std::vector<double> tiles;  // dense: [tile][column][TILE]
    std::vector<int64_t> row_ptr, col_ptr;
    std::vector<int> row_col, col_row;
    std::vector<double> row_val, col_val;
    std::vector<double> bias;  // ld

    Affine(int rows_, int cols_) : rows(rows_), cols(cols_), ld(padded(rows_)), bias(ld, 0.0) {}

    static Affine dense(const double* A, const double* a, int rows, int cols) {
        Affine m(rows, cols);
        std::copy(a, a + rows, m.bias.begin());
        m.tiles.assign((size_t)m.ld * cols, 0.0);
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < cols; ++j) m.at(i, j) = A[(size_t)i * cols + j];
        return m;
    }

    // Compressed rows; kept sparse only where that saves work.
    static Affine csr(const int64_t* ptr, const int* col, const double* val, const double* a, int rows, int cols) {
        const int64_t nnz = ptr[rows];
        Affine m(rows, cols);
        std::copy(a, a + rows, m.bias.begin());
        if (nnz * 4 > (int64_t)rows * cols) {
            m.tiles.assign((size_t)m.ld * cols, 0.0);
            for (int i = 0; i < rows; ++i)
                for (int64_t q = ptr[i]; q < ptr[i + 1]; ++q) m.at(i, col[q]) += val[q];
            return m;
        }
        m.sparse = true;
        m.row_ptr.assign(ptr, ptr + rows + 1);
        m.row_col.assign(col, col + nnz);
        m.row_val.assign(val, val + nnz);
        m.transpose();
        return m;
    }

    // out = A s + a over the columns cols[0 .. k), s a map of leading dimension lds; the other columns count as zero.
    void product(const Kernels& kernel, const int* columns, int k, const double* s, int lds,
                 std::vector<double>& spread, double* out) const {
        if (!sparse) return kernel.product(tiles.data(), rows, cols, columns, k, s, lds, bias.data(), out);
        spread.assign(4 * (size_t)cols, 0.0);
        for (int q = 0; q < k; ++q)
            for (int c = 0; c < 3; ++c) spread[4 * (size_t)columns[q] + c] = s[(size_t)c * lds + columns[q]];
        kernel.sparse_product(row_ptr.data(), row_col.data(), row_val.data(), rows, ld, spread.data(), bias.data(),
                              out);
    }

    // out = in + A[:, col] (outer) d; out may be in.
    void rank_one(const Kernels& kernel, int col, const double* d, const double* in, double* out) const {
        if (!sparse) return kernel.rank_one(tiles.data(), ld / TILE, cols, col, d, in, out);
        if (in != out) std::copy(in, in + 3 * (size_t)ld, out);
        for (int64_t q = col_ptr[col]; q < col_ptr[col + 1]; ++q)
            for (int c = 0; c < 3; ++c) out[(size_t)c * ld + col_row[q]] += col_val[q] * d[c];
    }

  private:
    double& at(int i, int j) { return tiles[((size_t)(i / TILE) * cols + j) * TILE + i % TILE]; }

    void transpose() {
        col_ptr.assign(cols + 1, 0);
        for (int c : row_col) ++col_ptr[c + 1];
        for (int c = 0; c < cols; ++c) col_ptr[c + 1] += col_ptr[c];
        col_row.resize(row_col.size());
        col_val.resize(row_col.size());
        auto next = col_ptr;
        for (int i = 0; i < rows; ++i)
            for (int64_t q = row_ptr[i]; q < row_ptr[i + 1]; ++q) {
                const int64_t to = next[row_col[q]]++;
                col_row[to] = i;
                col_val[to] = row_val[q];
            }
    }
};

// Where in a packed code a column stands.
struct Place {
    int word = 0, shift = 0;
};

// Code columns packed first column highest, none across two words: words compare as columns do, in lexicographic order.
inline int code_width(int64_t pieces) { return pieces <= 1 ? 0 : std::bit_width((uint64_t)pieces - 1); }

struct Packing {
    std::vector<Place> places;
    std::vector<int> widths;
    int words = 0;

    void add(int64_t pieces) {
        const int width = code_width(pieces);
        if (words == 0 || used_ + width > 64) ++words, used_ = 0;
        used_ += width;
        places.push_back({words - 1, 64 - used_});
        widths.push_back(width);
    }

  private:
    int used_ = 0;
};

// One non-linearity with its affine map. Rows are those of A; outputs are the columns of the next map.
struct Stage {
    enum class Kind { simple, pieces, selection };

    Affine in;
    Kind kind = Kind::simple;
    int outputs = 0;
    std::vector<int> n_pieces;  // of each output

    // simple: each row has at most one breakpoint. A pass-through counts as "above -infinity".
    std::vector<double> level, slope[2], offset[2];  // ld
    bool zero_below = false;                         // the lower piece of every row is 0, as for ReLU
    bool same_above = false;                         // the upper piece of every row is z itself

    // pieces: the breakpoints of row i are breaks[ptr[i] .. ptr[i + 1]), its pieces start at ptr[i] + i (chain.py).
    std::vector<int> ptr, members;  // selection: the rows of group g are members[ptr[g] .. ptr[g + 1])
    std::vector<double> breaks, slopes, offsets;

    explicit Stage(Affine map) : in(std::move(map)) {}

    static Stage elementwise(Affine map, const int* ptr, const double* breaks, const double* slopes,
                             const double* offsets) {
        Stage s(std::move(map));
        const int n = s.outputs = s.in.rows;
        s.ptr.assign(ptr, ptr + n + 1);
        s.breaks.assign(breaks, breaks + ptr[n]);
        s.slopes.assign(slopes, slopes + ptr[n] + n);
        s.offsets.assign(offsets, offsets + ptr[n] + n);
        s.kind = Kind::simple;
        for (int i = 0; i < n; ++i) {
            s.n_pieces.push_back(ptr[i + 1] - ptr[i] + 1);
            if (s.n_pieces[i] > 2) s.kind = Kind::pieces;
        }
        if (s.kind == Kind::simple) s.make_simple();
        return s;
    }

    static Stage selection(Affine map, const int* ptr, const int* members, int groups) {
        Stage s(std::move(map));
        s.kind = Kind::selection;
        s.outputs = groups;
        s.ptr.assign(ptr, ptr + groups + 1);
        s.members.assign(members, members + ptr[groups]);
        for (int g = 0; g < groups; ++g) {
            s.n_pieces.push_back(ptr[g + 1] - ptr[g]);
            if (s.n_pieces[g] < 1) throw std::invalid_argument("a selection group is empty");
        }
        for (int r : s.members)
            if (r < 0 || r >= s.in.rows) throw std::invalid_argument("a selection group names a row that is not there");
        return s;
    }

  private:
    void make_simple() {
        const double inf = std::numeric_limits<double>::infinity();
        level.assign(in.ld, inf);  // padding is never above
        for (auto* column : {&slope[0], &slope[1], &offset[0], &offset[1]}) column->assign(in.ld, 0.0);
        zero_below = same_above = true;
        for (int i = 0; i < outputs; ++i) {
            const int first = ptr[i] + i;
            const bool kink = n_pieces[i] == 2;
            level[i] = kink ? breaks[ptr[i]] : -inf;
            for (int p = 0; p < 2; ++p) {
                slope[p][i] = slopes[first + (kink ? p : 0)];
                offset[p][i] = offsets[first + (kink ? p : 0)];
            }
            if (kink && (slope[0][i] != 0 || offset[0][i] != 0)) zero_below = false;
            if (slope[1][i] != 1 || offset[1][i] != 0) same_above = false;
        }
    }
};

using StagePtr = std::shared_ptr<const Stage>;

// The stages and the output layer, with the place of every code column.
struct Chain {
    int inputs = 0;
    std::vector<StagePtr> stages;
    std::shared_ptr<const Affine> out;

    Packing packing;
    std::vector<std::vector<int>> column;  // [stage][output], -1 for a pass-through
    std::vector<int> first_bit;  // [stage]: its columns are the bits from here on, a row each, in order; else -1
    int columns = 0;

    Chain(int inputs_, std::vector<StagePtr> stages_, std::shared_ptr<const Affine> out_)
        : inputs(inputs_), stages(std::move(stages_)), out(std::move(out_)) {
        int width = inputs;
        for (const auto& s : stages) {
            if (s->in.cols != width) throw std::invalid_argument("the stages of the chain do not fit each other");
            width = s->outputs;
            auto& mine = column.emplace_back(s->outputs, -1);
            for (int i = 0; i < s->outputs; ++i)
                if (s->n_pieces[i] > 1) mine[i] = columns++, packing.add(s->n_pieces[i]);
        }
        for (size_t l = 0; l < stages.size(); ++l) first_bit.push_back(first_bit_of(*stages[l], column[l]));
        if (out->cols != width) throw std::invalid_argument("the output layer does not fit the last stage");
    }

    // The affine map that feeds stage l, or the outputs when l is past the last stage.
    const Affine& map(size_t l) const { return l < stages.size() ? stages[l]->in : *out; }

  private:
    int first_bit_of(const Stage& s, const std::vector<int>& mine) const {
        if (s.kind != Stage::Kind::simple || mine.empty() || mine[0] < 0) return -1;
        auto bit = [&](int i) { return 64 * packing.places[mine[i]].word + 63 - packing.places[mine[i]].shift; };
        for (int i = 0; i < s.outputs; ++i)
            if (mine[i] < 0 || bit(i) != bit(0) + i) return -1;
        return bit(0);
    }
};

}  // namespace pellucid
