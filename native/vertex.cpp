#include "vertex.hpp"

#include <stdexcept>

#include "volume.hpp"
#include "winners.hpp"

namespace pellucid {
namespace {

constexpr size_t PENDING_MAPS = size_t(6) << 20;  // bytes of maps kept with pending cells; beyond, they are made anew

void add_piece(const Chain& chain, size_t stage, int output, int piece, uint64_t* code) {
    const int column = chain.column[stage][output];
    if (column >= 0) code[chain.packing.places[column].word] += (uint64_t)piece << chain.packing.places[column].shift;
}

int piece_of(const Chain& chain, size_t stage, int output, const uint64_t* code) {
    const int column = chain.column[stage][output];
    if (column < 0) return 0;
    const Place at = chain.packing.places[column];
    return (int)(code[at.word] >> at.shift & ((uint64_t(1) << chain.packing.widths[column]) - 1));
}

uint64_t reversed(uint64_t b) {
    b = (b >> 1 & 0x5555555555555555u) | (b & 0x5555555555555555u) << 1;
    b = (b >> 2 & 0x3333333333333333u) | (b & 0x3333333333333333u) << 2;
    b = (b >> 4 & 0x0f0f0f0f0f0f0f0fu) | (b & 0x0f0f0f0f0f0f0f0fu) << 4;
    b = (b >> 8 & 0x00ff00ff00ff00ffu) | (b & 0x00ff00ff00ff00ffu) << 8;
    b = (b >> 16 & 0x0000ffff0000ffffu) | (b & 0x0000ffff0000ffffu) << 16;
    return b >> 32 | b << 32;
}

double norm_of(const double* g, int d) {
    double square = 0;
    for (int a = 0; a < d; ++a) square += g[a] * g[a];
    return std::sqrt(square);
}

// The affine maps of a chain applied to maps of `comps` components.
class Products {
  public:
    Products(int comps, const VertexKernels& vertex, const Kernels& plain) : n_(comps), v_(vertex), k_(plain) {}

    // out = A s + a over k columns of s; the others count as zero.
    void product(const Affine& A, const int* columns, int k, const double* s, int lds, double* out) {
        if (!A.sparse) return v_.product(A.tiles.data(), A.rows, A.cols, columns, k, s, lds, n_, A.bias.data(), out);
        spread_.assign((size_t)n_ * A.cols, 0.0);
        for (int q = 0; q < k; ++q)
            for (int c = 0; c < n_; ++c) spread_[(size_t)columns[q] * n_ + c] = s[(size_t)c * lds + columns[q]];
        std::fill_n(out, (size_t)n_ * A.ld, 0.0);
        row_.resize(n_);
        for (int i = 0; i < A.rows; ++i) {
            std::fill(row_.begin(), row_.end(), 0.0);
            row_[n_ - 1] = A.bias[i];
            for (int64_t q = A.row_ptr[i]; q < A.row_ptr[i + 1]; ++q) {
                const double* column = spread_.data() + (size_t)A.row_col[q] * n_;
                for (int c = 0; c < n_; ++c) row_[c] += A.row_val[q] * column[c];
            }
            for (int c = 0; c < n_; ++c) out[(size_t)c * A.ld + i] = row_[c];
        }
    }

    // out = in + A[:, col] (outer) delta; out may be in.
    void rank_one(const Affine& A, int col, const double* delta, const double* in, double* out) const {
        if (!A.sparse) return v_.rank_one(A.tiles.data(), A.ld / TILE, A.cols, col, delta, n_, in, out);
        if (in != out) std::copy_n(in, (size_t)n_ * A.ld, out);
        for (int64_t q = A.col_ptr[col]; q < A.col_ptr[col + 1]; ++q)
            for (int c = 0; c < n_; ++c) out[(size_t)c * A.ld + A.col_row[q]] += A.col_val[q] * delta[c];
    }

    const Kernels& plain() const { return k_; }

  private:
    int n_;
    const VertexKernels& v_;
    const Kernels& k_;
    std::vector<double> spread_, row_;
};

// One thread of a run. The walk is that of the planar engine: see there.
class VertexWalker {
  public:
    VertexWalker(const VertexProblem& problem, VertexPool& pool)
        : rounding(*problem.chain, problem.watched, problem.floors, problem.frame.c.data(), problem.frame.h.data()),
          p_(problem),
          chain_(*problem.chain),
          d_(problem.d),
          stride_(problem.d + 3),
          k_(vertex_kernels()),
          pool_(pool),
          words_(chain_.packing.words),
          algebra_(problem.d + 1, k_, kernels()),
          cutter_(k_, problem.snaps),
          winners_(k_, problem.snaps),
          second_(k_, problem.snaps),
          volume_(k_) {
        delta_.need(d_ + 1);
        centre_.need(d_);
        half_.need(d_);
    }

    void run() {
        while (auto cell = pool_.next(segment_)) {
            push(std::move(cell));
            drain();
            report();
            pool_.end(static_cast<VertexPool::Segment*>(segment_));
        }
    }

    VertexDecisions decisions;
    RoundingWatch rounding;

    bool met_vertices() const { return cutter_.met_vertices || winners_.met_vertices() || second_.met_vertices(); }

  private:
    const VertexProblem& p_;
    const Chain& chain_;
    const int d_, stride_;
    const VertexKernels& k_;
    VertexPool& pool_;
    const int words_;
    VertexPool::Segment* segment_ = nullptr;
    std::vector<std::unique_ptr<VertexCell>> stack_, free_;
    size_t stack_maps_ = 0;  // bytes
    size_t given_ = 0;       // cells at the bottom of the stack that were given away
    int until_poll_ = 1;
    int64_t found_ = 0;
    double share_ = 0;

    // scratch
    Products algebra_;
    Cutter cutter_;
    Winners winners_, second_;
    Volume volume_;
    int lds_ = 0;  // leading dimension of sums_
    Buffer<double> map_, sums_, lo_, hi_, z_, delta_, centre_, half_;
    Buffer<int> columns_;
    Buffer<uint64_t> up_, open_;
    Polytope lower_;

    // ---- the walk
    void drain() {
        while (stack_.size() > given_) {
            if (pool_.stopped() || pool_.enough(segment_)) return abandon();
            if (--until_poll_ <= 0 && poll()) return leave();
            if (pool_.wants_work() && stack_.size() > given_ + 1) give();
            auto cell = pop();
            follow(*cell);
            free_.push_back(std::move(cell));
        }
        stack_.clear();
        given_ = 0;
    }

    bool poll() {
        until_poll_ = 16;
        report();
        return pool_.poll(segment_);
    }

    // Other threads go on.
    void leave() {
        std::vector<std::unique_ptr<VertexCell>> rest;
        for (size_t i = given_; i < stack_.size(); ++i) rest.push_back(std::move(stack_[i]));
        pool_.give_all(std::move(rest), segment_);
        stack_.clear();
        given_ = stack_maps_ = 0;
    }

    void report() {
        pool_.found.fetch_add(found_, std::memory_order_relaxed);
        pool_.add_share(share_);
        found_ = 0;
        share_ = 0;
    }

    size_t map_bytes(const VertexCell& c) const {
        return c.has_map ? 8 * (size_t)(d_ + 1) * chain_.map(c.stage).ld : 0;
    }

    void push(std::unique_ptr<VertexCell> cell) {
        stack_maps_ += map_bytes(*cell);
        stack_.push_back(std::move(cell));
    }

    std::unique_ptr<VertexCell> pop() {
        auto cell = std::move(stack_.back());
        stack_.pop_back();
        stack_maps_ -= map_bytes(*cell);
        return cell;
    }

    void give() {
        stack_maps_ -= map_bytes(*stack_[given_]);
        pool_.give(std::move(stack_[given_++]), segment_);
    }

    void abandon() {
        for (size_t i = given_; i < stack_.size(); ++i) pool_.abandon(std::move(stack_[i]));
        stack_.clear();
        given_ = stack_maps_ = 0;
    }

    std::unique_ptr<VertexCell> fresh() {
        if (free_.empty()) return std::make_unique<VertexCell>();
        auto cell = std::move(free_.back());
        free_.pop_back();
        return cell;
    }

    // Follows the lower side of every cut down to a region; the upper sides go on the stack.
    void follow(VertexCell& cell) {
        if (!cell.has_map) remake_map(cell);
        for (;;) {
            while (cell.is_open()) {
                if (chain_.stages[cell.stage - 1]->kind == Stage::Kind::selection)
                    split_group(cell);
                else
                    split_line(cell);
            }
            if (cell.stage == (int)chain_.stages.size()) break;
            enter(cell);
        }
        emit(cell);
    }

    // ---- entering a stage: every unit of constant sign is decided, the others are opened
    void enter(VertexCell& cell) {
        const Stage& s = *chain_.stages[cell.stage];
        rounding.enter(cell.stage, cell.map, cell.code);
        cell.lines = cell.groups = 0;
        int k = 0;  // columns of the next map that are not zero
        switch (s.kind) {
            case Stage::Kind::simple:
                k = enter_simple(cell, s);
                break;
            case Stage::Kind::pieces:
                k = enter_pieces(cell, s);
                break;
            case Stage::Kind::selection:
                k = enter_selection(cell, s);
                break;
        }
        next_map(cell, k, s.kind == Stage::Kind::simple && s.zero_below && s.same_above);
    }

    // The outputs of the stage are in sums_ for the k columns that are not zero, or they are the map itself.
    void next_map(VertexCell& cell, int k, bool from_map = false) {
        const Affine& next = chain_.map(cell.stage + 1);
        const double* s = from_map ? cell.map : sums_;
        const int lds = from_map ? chain_.map(cell.stage).ld : lds_;
        algebra_.product(next, columns_, k, s, lds, map_.need((size_t)(d_ + 1) * next.ld));
        std::swap(map_, cell.map);
        ++cell.stage;
    }

    void begin_columns(int outputs) {
        lds_ = outputs;
        columns_.need(outputs + 8);
        sums_.need((size_t)(d_ + 1) * outputs);
    }

    void add_column(int& k, int output, double slope, double offset, const double* map, int ld, int row) {
        columns_[k++] = output;
        for (int c = 0; c <= d_; ++c) sums_[(size_t)c * lds_ + output] = slope * map[(size_t)c * ld + row];
        sums_[(size_t)d_ * lds_ + output] += offset;
    }

    int enter_simple(VertexCell& cell, const Stage& s) {
        const Polytope& p = cell.cell;
        const int n = s.in.ld, words = (n + 63) / 64;
        const double* floor = p_.floors[cell.stage].data();
        up_.need(words);
        open_.need(words);
        // most units are decided by the box around the cell, the others by its vertices
        k_.bounds(p.x, p.ldx, d_, centre_, half_);
        for (int a = 0; a < d_; ++a) {
            const double lo = centre_[a], hi = half_[a];
            centre_[a] = (lo + hi) / 2;
            half_[a] = (hi - lo) / 2;
        }
        k_.screen(cell.map, n, n, d_, centre_, half_, s.level.data(), floor, up_, open_);
        z_.need(p.ldx);
        for (int w = 0; w < words; ++w)
            for (uint64_t bits = open_[w]; bits; bits &= bits - 1) {
                const int i = 64 * w + std::countr_zero(bits);
                double lo, hi;
                double* line = next_line(cell, n, i, s.level[i]);
                k_.values(line, d_, p.x, p.ldx, z_, &lo, &hi);
                const bool upper = hi > floor[i] && (lo >= -floor[i] || open_line(cell, line, i, floor[i], lo, hi) > 0);
                if (upper) up_[w] |= bits & -bits;
            }
        return sum_simple(cell, s);
    }

    // Codes and sums of the pieces that up_ names.
    int sum_simple(VertexCell& cell, const Stage& s) {
        const int ld = s.in.ld, words = (ld + 63) / 64;
        begin_columns(ld);
        const int upper = algebra_.plain().set_bits(up_, words, columns_);
        const int first = chain_.first_bit[cell.stage];
        if (first >= 0)
            add_bits(cell.code, first, words, s.outputs);
        else
            for (int q = 0; q < upper; ++q) add_piece(chain_, cell.stage, columns_[q], 1, cell.code);
        if (s.zero_below && s.same_above) return upper;
        int k = 0;
        for (int q = 0; q < (s.zero_below ? upper : s.outputs); ++q) {
            const int i = s.zero_below ? columns_[q] : q;
            const int up = up_[i / 64] >> (i % 64) & 1;
            add_column(k, i, s.slope[up][i], s.offset[up][i], cell.map, ld, i);
        }
        return k;
    }

    // Bit i of up_ to bit `first + i` of the code, counted from the highest of its first word.
    void add_bits(uint64_t* code, int first, int words, int n) {
        const int shift = first % 64;
        code += first / 64;
        for (int w = 0; w < words && 64 * w < n; ++w) {
            const uint64_t bits = reversed(up_[w]);
            code[w] |= bits >> shift;
            if (shift && 64 * w + 64 - shift < n) code[w + 1] |= bits << (64 - shift);
        }
    }

    int enter_pieces(VertexCell& cell, const Stage& s) {
        const Polytope& p = cell.cell;
        const int n = s.in.ld;
        const double* floor = p_.floors[cell.stage].data();
        begin_columns(s.outputs);
        z_.need(p.ldx);
        int k = 0;
        for (int i = 0; i < s.outputs; ++i) {
            double least, most;
            k_.values(next_line(cell, n, i, 0.0), d_, p.x, p.ldx, z_, &least, &most);
            int piece = 0;
            for (int q = s.ptr[i]; q < s.ptr[i + 1]; ++q) {
                const double lo = least - s.breaks[q], hi = most - s.breaks[q];
                if (!(hi > floor[i])) break;  // and below all later ones
                if (lo >= -floor[i] || open_line(cell, next_line(cell, n, i, s.breaks[q]), q, floor[i], lo, hi) > 0)
                    ++piece;
            }
            const int at = s.ptr[i] + i + piece;
            add_piece(chain_, cell.stage, i, piece, cell.code);
            add_column(k, i, s.slopes[at], s.offsets[at], cell.map, n, i);
        }
        return k;
    }

    // The hyperplane z = t of row i, written behind the open ones but not counted among them.
    double* next_line(VertexCell& cell, int ld, int i, double t) {
        reserve_lines(cell, cell.lines + 1);
        double* line = cell.line + (size_t)cell.lines * stride_;
        for (int c = 0; c <= d_; ++c) line[c] = cell.map[(size_t)c * ld + i];
        line[d_] -= t;
        return line;
    }

    // A hyperplane with vertices beyond the rounding floor on both sides. If they are beyond the tolerance too, it is
    // opened (0); otherwise the sliver is left with the larger side: +1 upper, -1 lower.
    int open_line(VertexCell& cell, double* line, int id, double floor, double lo, double hi) {
        const double norm = norm_of(line, d_), tol = p_.geometric * norm + floor;
        if (hi > tol && lo < -tol) {
            line[d_ + 1] = floor;
            line[d_ + 2] = tol;
            cell.id[cell.lines++] = id;
            return 0;
        }
        return merge(cell, lo, hi, norm, floor);
    }

    // The sliver between the hyperplane and a vertex on its other side is left where it is.
    int merge(const VertexCell& cell, double lo, double hi, double norm, double floor) {
        const int side = hi > -lo ? +1 : -1;
        const double excess = side > 0 ? -lo : hi;
        if (excess > floor) note(cell.cell, (excess + floor) / norm, 1);
        return side;
    }

    // A sliver of this depth is no larger than the depth times the cell's extent in all other directions.
    void note(const Polytope& p, double depth, int64_t times) {
        decisions.merged += times;
        decisions.volume += std::min(volume_(p), depth * std::pow(extent(p), d_ - 1));
    }

    void reserve_lines(VertexCell& cell, int n) {
        cell.line.keep((size_t)n * stride_);
        cell.id.keep(n);
    }

    // ---- elementwise stages: cutting along an open hyperplane
    struct Jump {
        int row, piece;  // from this piece to the next one
        double level, slope, offset;
    };

    static Jump jump(const Stage& s, int id) {
        if (s.kind == Stage::Kind::simple)
            return {id, 0, s.level[id], s.slope[1][id] - s.slope[0][id], s.offset[1][id] - s.offset[0][id]};
        const int row = (int)(std::upper_bound(s.ptr.begin(), s.ptr.end(), id) - s.ptr.begin()) - 1;
        const int at = id + row;  // piece `id - ptr[row]` of the row
        return {row, id - s.ptr[row], s.breaks[id], s.slopes[at + 1] - s.slopes[at], s.offsets[at + 1] - s.offsets[at]};
    }

    // The first row in the order of columns is cut first, so that the walk meets regions in the order of their codes.
    // Of the breakpoints of one row the middle one is taken: any order of them keeps that order.
    int choose(const VertexCell& cell, const Stage& s) const {
        if (s.kind == Stage::Kind::simple) return 0;
        const int row = jump(s, cell.id[0]).row;
        int last = 0;
        while (last + 1 < cell.lines && cell.id[last + 1] < s.ptr[row + 1]) ++last;
        return last / 2;
    }

    Seam next_seam() const { return segment_->id << 32 | segment_->seam_count; }

    void split_line(VertexCell& cell) {
        const Stage& s = *chain_.stages[cell.stage - 1];
        const int at = choose(cell, s);
        const double* line = cell.line + (size_t)at * stride_;
        const Polytope& p = cell.cell;
        double lo, hi;
        k_.values(line, d_, p.x, p.ldx, z_.need(p.ldx), &lo, &hi);
        auto upper = fresh();
        const Jump j = jump(s, cell.id[at]);
        const Knife knife{line, line[d_ + 2], line[d_ + 1], label_of(next_seam(), 0), label_of(next_seam(), 1)};
        cutter_.cut(p, z_, knife, &upper->cell, &lower_);
        if (p_.shape.facets) segment_->new_seam(chain_.column[cell.stage - 1][j.row], j.piece, j.piece + 1);
        cell.share /= 2;
        inherit(cell, *upper);
        raise(cell, cell.map, s, at, *upper);
        settle(cell, at, s, *upper);
        std::swap(cell.cell, lower_);
        settle(cell, at, s, cell);
        push(std::move(upper));
    }

    // A copy of what both sides of a cut share; the map too, unless so many are waiting that it is better made anew.
    void inherit(const VertexCell& from, VertexCell& to) {
        to.stage = from.stage;
        to.share = from.share;
        to.has_map = stack_maps_ < PENDING_MAPS / (size_t)std::max(1, pool_.budget().threads);
        to.lines = to.groups = 0;
        std::copy_n(from.code.data.get(), words_, to.code.need(words_ + 1));
        if (to.has_map) to.map.need((size_t)(d_ + 1) * chain_.map(from.stage).ld);
    }

    // Puts the row of a hyperplane on the next higher piece, in `to`, whose map is made from `from` (or its own).
    void raise(const VertexCell& lines, const double* from, const Stage& s, int at, VertexCell& to) {
        const Jump j = jump(s, lines.id[at]);
        add_piece(chain_, to.stage - 1, j.row, 1, to.code);
        if (!to.has_map) return;
        const double* line = lines.line + (size_t)at * stride_;
        for (int a = 0; a < d_; ++a) delta_[a] = j.slope * line[a];
        delta_[d_] = j.slope * (line[d_] + j.level) + j.offset;
        algebra_.rank_one(chain_.map(to.stage), j.row, delta_, from, to.map);
    }

    // Which of the open hyperplanes (but one) still cross the cell of `to`; the others are decided. `to` may be `from`.
    void settle(const VertexCell& from, int without, const Stage& s, VertexCell& to) {
        const Polytope& p = to.cell;
        const int n = from.lines;
        k_.extremes(from.line, stride_, n, d_, p.x, p.ldx, lo_.need(n), hi_.need(n));
        if (&to != &from) reserve_lines(to, n);
        int kept = 0;
        for (int l = 0; l < n; ++l) {
            if (l == without) continue;
            const double* line = from.line + (size_t)l * stride_;
            const double floor = line[d_ + 1], tol = line[d_ + 2];
            if (hi_[l] > tol && lo_[l] < -tol) {
                if (&to != &from || kept != l) std::copy_n(line, stride_, to.line + (size_t)kept * stride_);
                to.id[kept++] = from.id[l];
            } else if (hi_[l] > floor) {
                if (lo_[l] >= -floor || merge(to, lo_[l], hi_[l], (tol - floor) / p_.geometric, floor) > 0)
                    raise(from, to.map, s, l, to);
            }
        }
        to.lines = kept;
    }

    // ---- selection stages
    int enter_selection(VertexCell& cell, const Stage& s) {
        const int ld = s.in.ld;
        const double* floor = p_.floors[cell.stage].data();
        begin_columns(s.outputs);
        int k = 0;
        for (int g = 0; g < s.outputs; ++g) {
            const int* members = s.members.data() + s.ptr[g];
            const int m = s.ptr[g + 1] - s.ptr[g], at = cell.lines;
            write_group(cell, g, members, m, floor);
            const int winner = winners_.single(cell.cell, affines(cell, at, m));
            if (winner < 0) continue;
            cell.lines = at;
            --cell.groups;
            add_piece(chain_, cell.stage, g, winner, cell.code);
            add_column(k, g, 1.0, 0.0, cell.map, ld, members[winner]);
        }
        return k;
    }

    Affines affines(const VertexCell& cell, int at, int n) const {
        return {n, stride_, cell.line + (size_t)at * stride_};
    }

    void write_group(VertexCell& cell, int g, const int* members, int m, const double* floor) {
        const int ld = chain_.map(cell.stage).ld;
        cell.group.keep(cell.groups + 1);
        cell.start.keep(cell.groups + 2);
        cell.group[cell.groups] = g;
        cell.start[cell.groups++] = cell.lines;
        for (int i = 0; i < m; ++i) {
            double* line = next_line(cell, ld, members[i], 0.0);
            line[d_ + 1] = floor[members[i]];
            line[d_ + 2] = 0;
            cell.id[cell.lines++] = members[i];
        }
        cell.start[cell.groups] = cell.lines;
    }

    // Divides the cell by the winners of its first open group.
    void split_group(VertexCell& cell) {
        const int g = cell.group[0];
        divide_cell(cell.cell, affines(cell, 0, cell.start[1]), winners_, chain_.column[cell.stage - 1][g], nullptr);
        const int parts = winners_.size();
        cell.share /= parts;
        for (int f = parts - 1; f >= 0; --f) {
            const int winner = winners_[f].winner;
            auto part = f > 0 ? fresh() : nullptr;
            VertexCell& to = f > 0 ? *part : cell;
            if (f > 0) {
                inherit(cell, to);
                copy_groups(cell, to);
            }
            std::copy_n(cell.line + (size_t)winner * stride_, d_ + 1, delta_.data.get());
            std::swap(to.cell, winners_[f].cell);
            add_piece(chain_, to.stage - 1, g, winner, to.code);
            if (to.has_map) algebra_.rank_one(chain_.map(to.stage), g, delta_, cell.map, to.map);
            if (f == 0)
                copy_groups(cell, cell);
            else
                push(std::move(part));
        }
    }

    // All open groups but the first; `to` may be `from`.
    void copy_groups(const VertexCell& from, VertexCell& to) {
        const int skip = from.start[1], n = from.lines - skip, groups = from.groups - 1;
        reserve_lines(to, std::max(1, n));
        std::memmove(to.line, from.line + (size_t)skip * stride_, (size_t)n * stride_ * sizeof(double));
        std::memmove(to.id, from.id + skip, n * sizeof(int));
        to.group.keep(groups + 1);
        to.start.keep(groups + 1);
        for (int i = 0; i < groups; ++i) to.group[i] = from.group[i + 1];
        for (int i = 0; i <= groups; ++i) to.start[i] = from.start[i + 1] - skip;
        to.groups = groups;
        to.lines = n;
    }

    // The parts of the winners over p, their facets towards each other named: one seam for each two of them.
    void divide_cell(const Polytope& p, const Affines& f, Winners& winners, int column, const int* names) {
        winners.build(p, f, p_.geometric);
        if (winners.merged) note(p, winners.depth, winners.merged);
        if (!p_.shape.facets) return;
        const int n = winners.size();
        std::vector<int> part_of(f.n, -1);
        for (int i = 0; i < n; ++i) part_of[winners[i].winner] = i;
        std::vector<Seam> seams((size_t)n * n, -1);
        for (int i = 0; i < n; ++i) {
            Polytope& cell = winners[i].cell;
            each_bit(cell.facets, cell.words, [&](int place) {
                if (!Winners::is_inner(cell.label[place])) return;
                const int mine = winners[i].winner, other = (int)(cell.label[place] - Winners::TOWARDS);
                const int o = part_of[other], lo = std::min(mine, other), hi = std::max(mine, other);
                Seam& seam = seams[(size_t)std::min(i, o) * n + std::max(i, o)];
                if (seam < 0) seam = segment_->new_seam(column, names ? names[lo] : lo, names ? names[hi] : hi);
                cell.label[place] = label_of(seam, mine == hi);
            });
        }
    }

    // ---- making the map anew from the code
    void remake_map(VertexCell& cell) {
        const int end = cell.stage, comps = d_ + 1;
        const Affine& first = chain_.map(0);
        std::vector<int> columns(d_);
        std::vector<double> inputs((size_t)comps * d_, 0.0);
        for (int a = 0; a < d_; ++a) {
            columns[a] = a;
            inputs[(size_t)a * d_ + a] = p_.frame.h[a];
            inputs[(size_t)d_ * d_ + a] = p_.frame.c[a];
        }
        algebra_.product(first, columns.data(), d_, inputs.data(), d_, cell.map.need((size_t)comps * first.ld));
        cell.has_map = true;
        for (cell.stage = 0; cell.stage < end;) next_map(cell, columns_by_code(cell, *chain_.stages[cell.stage], end));
    }

    int columns_by_code(VertexCell& cell, const Stage& s, int end) {
        begin_columns(s.outputs);
        const int ld = s.in.ld;
        int k = 0;
        for (int i = 0; i < s.outputs; ++i) {
            const int piece = piece_of(chain_, cell.stage, i, cell.code);
            if (s.kind == Stage::Kind::selection) {
                if (cell.stage == end - 1 && std::find(cell.group.data.get(), cell.group.data.get() + cell.groups, i) !=
                                                 cell.group.data.get() + cell.groups)
                    continue;
                add_column(k, i, 1.0, 0.0, cell.map, ld, s.members[s.ptr[i] + piece]);
            } else {
                const int at = s.ptr[i] + i + piece;
                add_column(k, i, s.slopes[at], s.offsets[at], cell.map, ld, i);
            }
        }
        return k;
    }

    // ---- regions
    void emit(VertexCell& cell) {
        rounding.enter(cell.stage, cell.map, cell.code);
        share_ += cell.share;
        switch (p_.split.mode) {
            case FinalSplit::Mode::none:
                return write(cell, cell.cell, -1, -1);
            case FinalSplit::Mode::labels:
                return split_labels(cell, cell.cell, (int)p_.split.thresholds.size() - 1, 0);
            default:
                return split_winners(cell);
        }
    }

    void split_winners(VertexCell& cell) {
        const int n = chain_.out->rows, ld = chain_.out->ld;
        cell.lines = 0;
        for (int j = 0; j < n; ++j) {
            double* line = next_line(cell, ld, j, 0.0);
            line[d_ + 1] = p_.floors.back()[j];
            ++cell.lines;
        }
        const Affines y = affines(cell, 0, n);
        divide(cell.cell, y, nullptr, winners_, [&](int first, const Polytope& p) {
            count_ties(p, y, first);
            if (p_.split.mode == FinalSplit::Mode::argmax)
                write(cell, p, first, -1);
            else
                split_second(cell, p, y, first);
        });
    }

    void split_second(VertexCell& cell, const Polytope& p, const Affines& y, int first) {
        std::vector<double> rest;
        std::vector<int> which;
        for (int j = 0; j < y.n; ++j) {
            if (j == first) continue;
            which.push_back(j);
            rest.insert(rest.end(), y[j], y[j] + stride_);
        }
        const Affines others{(int)which.size(), stride_, rest.data()};
        divide(p, others, which.data(), second_,
               [&](int second, const Polytope& q) { write(cell, q, first, which[second]); });
    }

    // Calls use(winner, polytope) for the part of every winner over p, in the order of winners.
    template <class Use>
    void divide(const Polytope& p, const Affines& f, const int* names, Winners& winners, Use use) {
        const int only = winners.single(p, f);
        if (only >= 0) return use(only, p);
        divide_cell(p, f, winners, chain_.columns, names);
        for (int i = 0; i < winners.size(); ++i) use(winners[i].winner, winners[i].cell);
    }

    // Another output equal to the winner on the whole piece.
    void count_ties(const Polytope& p, const Affines& y, int first) {
        double lo, hi;
        for (int j = 0; j < y.n; ++j) {
            if (j == first) continue;
            for (int c = 0; c <= d_; ++c) delta_[c] = y[j][c] - y[first][c];
            k_.values(delta_, d_, p.x, p.ldx, z_.need(p.ldx), &lo, &hi);
            if (std::max(-lo, hi) <= y.floor(j, d_) + y.floor(first, d_)) {
                ++decisions.ties;
                return;
            }
        }
    }

    // Thresholds from the last output down, so that pieces come in the order of their masks.
    void split_labels(VertexCell& cell, const Polytope& p, int j, int mask) {
        if (j < 0) return write(cell, p, mask, -1);
        const int n = chain_.out->rows, ld = chain_.out->ld;
        const double t = p_.split.thresholds[j], floor = p_.floors.back()[j] + std::abs(t) * 1e-15;
        std::vector<double> line(d_ + 1), z(p.ldx);
        for (int c = 0; c <= d_; ++c) line[c] = cell.map[(size_t)c * ld + j];
        line[d_] -= t;
        const double norm = norm_of(line.data(), d_), tol = p_.geometric * norm + floor;
        double lo, hi;
        k_.values(line.data(), d_, p.x, p.ldx, z.data(), &lo, &hi);
        if (hi > tol && lo < -tol) {
            Polytope upper, lower;
            const Knife knife{line.data(), tol, floor, label_of(next_seam(), 0), label_of(next_seam(), 1)};
            cutter_.cut(p, z.data(), knife, &upper, &lower);
            if (p_.shape.facets) segment_->new_seam(chain_.columns, n == 1 ? 0 : j, n == 1 ? 1 : j);
            split_labels(cell, lower, j - 1, mask);
            split_labels(cell, upper, j - 1, mask | 1 << j);
            return;
        }
        bool above = hi > floor;
        if (!above && lo >= -floor) ++decisions.ties;
        if (above && lo < -floor) {
            above = hi > -lo;
            note(p, (std::min(hi, -lo) + floor) / norm, 1);
        }
        split_labels(cell, p, j - 1, above ? mask | 1 << j : mask);
    }

    // ---- output
    void write(const VertexCell& cell, const Polytope& p, int first, int second) {
        auto& rows = segment_->rows;
        const VertexShape& shape = p_.shape;
        const BoxFrame& f = p_.frame;
        std::copy_n(cell.code.data.get(), words_, rows.codes.more(words_));
        double* point = rows.points.more(d_);
        k_.sums(p.x, p.ldx, p.n, d_, point);
        for (int a = 0; a < d_; ++a) point[a] = f.u(a, point[a] / p.n);
        if (shape.maps) write_map(cell);
        if (shape.volumes) rows.volume.push(volume_(p) * scale());
        if (shape.first) rows.first.push(first);
        if (shape.second) rows.second.push(second);
        if (pool_.output.keeps_vertices()) write_vertices(p);
        if (shape.facets) write_facets(p);
        ++found_;
    }

    double scale() const { return p_.frame.scale(); }

    void write_map(const VertexCell& cell) {
        const BoxFrame& f = p_.frame;
        const int c = chain_.out->rows, ld = chain_.out->ld;
        double* coef = segment_->rows.coef.more((size_t)c * d_);
        double* intercept = segment_->rows.intercept.more(c);
        for (int j = 0; j < c; ++j, coef += d_) {
            double at_zero = cell.map[(size_t)d_ * ld + j];
            for (int a = 0; a < d_; ++a) {
                coef[a] = cell.map[(size_t)a * ld + j] / f.h[a];
                at_zero -= coef[a] * f.c[a];
            }
            intercept[j] = at_zero;
        }
    }

    void write_vertices(const Polytope& p) {
        auto& rows = segment_->rows;
        rows.corners.push(p.n);
        double* v = rows.vertices.more((size_t)p.n * d_);
        for (int a = 0; a < d_; ++a)
            for (int i = 0; i < p.n; ++i) v[(size_t)i * d_ + a] = p_.frame.u(a, p.at(i, a));
    }

    void write_facets(const Polytope& p) {
        auto& rows = segment_->rows;
        rows.sides.push(count_bits(p.facets, p.words));
        each_bit(p.facets, p.words, [&](int place) {
            rows.facet.push(p.label[place]);
            const double* plane = p.plane + (size_t)place * (d_ + 1);
            double* A = rows.facet_A.more(d_);
            double b = plane[d_];
            for (int a = 0; a < d_; ++a) {
                A[a] = plane[a] / p_.frame.h[a];
                b += A[a] * p_.frame.c[a];
            }
            const double inverse = 1 / norm_of(A, d_);
            for (int a = 0; a < d_; ++a) A[a] *= inverse;
            rows.facet_b.push(b * inverse);
        });
    }
};

}  // namespace

VertexRun::VertexRun(std::shared_ptr<const Chain> chain, const VertexDomain& domain,
                     std::vector<std::vector<double>> floors, double geometric, FinalSplit split, VertexShape shape,
                     bool snaps, std::vector<double> watched, Budget budget) {
    using Mode = FinalSplit::Mode;
    const Chain& net = *chain;
    if (domain.d != net.inputs || domain.d < 1)
        throw std::invalid_argument("the domain has another dimension than the chain");
    if (floors.size() != net.stages.size() + 1) throw std::invalid_argument("floors: one array a stage and one");
    for (size_t l = 0; l < floors.size(); ++l) {
        if ((int)floors[l].size() != net.map(l).rows) throw std::invalid_argument("floors do not fit the rows");
        floors[l].resize(net.map(l).ld, 0.0);
    }
    shape.words = net.packing.words;
    shape.outputs = net.out->rows;
    shape.dim = domain.d;
    shape.first = split.mode != Mode::none;
    shape.second = split.mode == Mode::top2;
    problem_ = {std::move(chain),
                domain.d,
                {},
                std::move(split),
                std::move(floors),
                geometric * 2 * std::sqrt(domain.d),
                shape,
                snaps,
                std::move(watched)};
    make_root(domain);
    pool_ = std::make_unique<VertexPool>(budget, VertexOutput(shape, problem_.frame, budget));
}

// The box cut by the rows, twice: the first time shows the bounding box, the second is in its coordinates.
void VertexRun::make_root(const VertexDomain& domain) {
    const int d = domain.d;
    BoxFrame& f = problem_.frame;
    f.c.resize(d);
    f.h.resize(d);
    std::vector<double> lo(domain.lower, domain.lower + d), hi(domain.upper, domain.upper + d), line(d + 1), z;
    if (domain.frame) lo.assign(domain.frame, domain.frame + d), hi.assign(domain.frame + d, domain.frame + 2 * d);
    Cutter cutter(vertex_kernels(), problem_.snaps);
    root_ = std::make_unique<VertexCell>();
    Polytope& p = root_->cell;
    Polytope next;
    for (int round = 0; round < 2; ++round) {
        std::vector<double> low(d), high(d);
        for (int a = 0; a < d; ++a) {
            f.c[a] = lo[a] + (hi[a] - lo[a]) / 2;
            f.h[a] = (hi[a] - lo[a]) / 2;
            if (!(f.h[a] > 0)) throw std::invalid_argument("the domain is flat");
            low[a] = (domain.lower[a] - f.c[a]) / f.h[a];
            high[a] = (domain.upper[a] - f.c[a]) / f.h[a];
        }
        p.box(d, low.data(), high.data(), domain.names, problem_.shape.facets);
        for (int r = 0; r < domain.rows; ++r) {
            const double* g = domain.G + (size_t)r * d;
            line[d] = -domain.h[r];
            double size = std::abs(domain.h[r]);
            for (int a = 0; a < d; ++a) {
                line[a] = g[a] * f.h[a];
                line[d] += g[a] * f.c[a];
                size += std::abs(g[a]) * (std::abs(f.c[a]) + f.h[a]);
            }
            const double floor = 1e-15 * size, tol = problem_.geometric * norm_of(line.data(), d) + floor;
            double least, most;
            z.resize(p.ldx);
            vertex_kernels().values(line.data(), d, p.x, p.ldx, z.data(), &least, &most);
            if (most <= tol) continue;
            const Label face = -1 - domain.numbers[r];
            if (!(least < -tol)) throw std::invalid_argument("the domain is empty or flat");
            cutter.cut(p, z.data(), {line.data(), tol, floor, face, face}, nullptr, &next);
            std::swap(p, next);
        }
        if (!domain.rows || domain.frame) break;
        for (int a = 0; a < d && round == 0; ++a) {
            const auto [least, most] = std::minmax_element(p.x + (size_t)a * p.ldx, p.x + (size_t)a * p.ldx + p.n);
            lo[a] = f.u(a, *least);
            hi[a] = f.u(a, *most);
        }
    }
    decisions_.met_vertices = cutter.met_vertices;
    whole_ = Volume(vertex_kernels())(p) * f.scale();
    const int words = problem_.chain->packing.words;
    std::fill_n(root_->code.need(words + 1), words, uint64_t(0));
}

void VertexRun::start() {
    pool_->start(std::move(root_), [this](VertexPool& pool) { work(pool); });
}

void VertexRun::work(VertexPool& pool) {
    VertexWalker walker(problem_, pool);
    walker.run();
    std::lock_guard lock(mutex_);
    decisions_.merged += walker.decisions.merged;
    decisions_.volume += walker.decisions.volume * problem_.frame.scale();
    decisions_.ties += walker.decisions.ties;
    decisions_.met_vertices |= walker.met_vertices();
    RoundingWatch::merge(errors_, walker.rounding.worst());
}

}  // namespace pellucid
