#include "planar.hpp"

#include <bit>
#include <stdexcept>

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

// One thread of a run.
class Walker {
  public:
    Walker(const Problem& problem, Pool<Cell>& pool)
        : rounding(*problem.chain, problem.watched, problem.floors, problem.frame.c, problem.frame.h),
          p_(problem),
          chain_(*problem.chain),
          k_(kernels()),
          pool_(pool),
          words_(chain_.packing.words) {}

    void run() {
        while (auto cell = pool_.next(segment_)) {
            push(std::move(cell));
            drain();
            report();
            pool_.end(segment_);
        }
    }

    Decisions decisions;
    RoundingWatch rounding;

  private:
    const Problem& p_;
    const Chain& chain_;
    const Kernels& k_;
    Pool<Cell>& pool_;
    const int words_;
    Segment* segment_ = nullptr;
    std::vector<std::unique_ptr<Cell>> stack_, free_;
    size_t stack_maps_ = 0;  // bytes
    size_t given_ = 0;       // cells at the bottom of the stack that were given away
    int until_poll_ = 1;
    int64_t found_ = 0;
    double share_ = 0;

    // scratch
    int lds_ = 0;  // leading dimension of sums_
    Buffer<double> map_, sums_, lo_, hi_, z_, values_;
    Buffer<int> columns_;
    Buffer<uint64_t> up_, open_;
    std::vector<double> spread_;
    Polygon lower_;
    Envelope envelope_, second_;

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
        std::vector<std::unique_ptr<Cell>> rest;
        for (size_t i = given_; i < stack_.size(); ++i) rest.push_back(std::move(stack_[i]));
        pool_.give_all(std::move(rest), segment_);
        stack_.clear();
        given_ = stack_maps_ = 0;
    }

    void report() {
        pool_.found.fetch_add(found_, std::memory_order_relaxed);
        pool_.add_share(share_ / p_.whole);
        found_ = 0;
        share_ = 0;
    }

    size_t map_bytes(const Cell& c) const { return c.has_map ? 24 * (size_t)chain_.map(c.stage).ld : 0; }

    void push(std::unique_ptr<Cell> cell) {
        stack_maps_ += map_bytes(*cell);
        stack_.push_back(std::move(cell));
    }

    std::unique_ptr<Cell> pop() {
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

    std::unique_ptr<Cell> fresh() {
        if (free_.empty()) return std::make_unique<Cell>();
        auto cell = std::move(free_.back());
        free_.pop_back();
        return cell;
    }

    // Follows the lower side of every cut down to a region; the upper sides go on the stack.
    void follow(Cell& cell) {
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
    void enter(Cell& cell) {
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
    void next_map(Cell& cell, int k, bool from_map = false) {
        const Affine& next = chain_.map(cell.stage + 1);
        const double* s = from_map ? cell.map : sums_;
        const int lds = from_map ? chain_.map(cell.stage).ld : lds_;
        next.product(k_, columns_, k, s, lds, spread_, map_.need(3 * (size_t)next.ld));
        std::swap(map_, cell.map);
        ++cell.stage;
    }

    void begin_columns(int outputs) {
        lds_ = outputs;
        columns_.need(outputs + 8);
        sums_.need(3 * (size_t)outputs);
    }

    void add_column(int& k, int output, double slope, double offset, const double* map, int ld, int row) {
        columns_[k++] = output;
        sums_[output] = slope * map[row];
        sums_[lds_ + output] = slope * map[ld + row];
        sums_[2 * lds_ + output] = slope * map[2 * ld + row] + offset;
    }

    int enter_simple(Cell& cell, const Stage& s) {
        const Polygon& p = cell.cell;
        const int n = s.in.ld, words = (n + 63) / 64;
        const double* floor = p_.floors[cell.stage].data();
        up_.need(words);
        open_.need(words);
        k_.signs(cell.map, n, n, s.level.data(), floor, p.x, p.y, p.n, up_, open_);
        for (int w = 0; w < words; ++w)
            for (uint64_t bits = open_[w]; bits; bits &= bits - 1) {
                const int i = 64 * w + std::countr_zero(bits);
                const bool upper = open_line(cell, s, i, i, s.level[i], floor[i]) > 0;
                if (!upper) up_[w] &= ~(bits & -bits);
            }
        return sum_simple(cell, s);
    }

    // Codes and sums of the pieces that up_ names.
    int sum_simple(Cell& cell, const Stage& s) {
        const int ld = s.in.ld, words = (ld + 63) / 64;
        begin_columns(ld);
        const int upper = k_.set_bits(up_, words, columns_);
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

    static uint64_t reversed(uint64_t b) {
        b = (b >> 1 & 0x5555555555555555u) | (b & 0x5555555555555555u) << 1;
        b = (b >> 2 & 0x3333333333333333u) | (b & 0x3333333333333333u) << 2;
        b = (b >> 4 & 0x0f0f0f0f0f0f0f0fu) | (b & 0x0f0f0f0f0f0f0f0fu) << 4;
        b = (b >> 8 & 0x00ff00ff00ff00ffu) | (b & 0x00ff00ff00ff00ffu) << 8;
        b = (b >> 16 & 0x0000ffff0000ffffu) | (b & 0x0000ffff0000ffffu) << 16;
        return b >> 32 | b << 32;
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

    int enter_pieces(Cell& cell, const Stage& s) {
        const Polygon& p = cell.cell;
        const int n = s.in.ld;
        const double* floor = p_.floors[cell.stage].data();
        k_.extremes(cell.map, cell.map + n, cell.map + 2 * n, n, p.x, p.y, p.n, lo_.need(n), hi_.need(n));
        begin_columns(s.outputs);
        int k = 0;
        for (int i = 0; i < s.outputs; ++i) {
            int piece = 0;
            for (int q = s.ptr[i]; q < s.ptr[i + 1]; ++q) {
                const double t = s.breaks[q];
                if (!(hi_[i] - t > floor[i])) break;  // and below all later ones
                if (lo_[i] - t >= -floor[i] || open_line(cell, s, i, q, t, floor[i]) > 0) ++piece;
            }
            const int at = s.ptr[i] + i + piece;
            add_piece(chain_, cell.stage, i, piece, cell.code);
            add_column(k, i, s.slopes[at], s.offsets[at], cell.map, n, i);
        }
        return k;
    }

    // Row i has vertices beyond the rounding floor on both sides of t. If they are beyond the tolerance too, the line
    // is opened (0); otherwise the sliver is left with the larger side: +1 upper, -1 lower.
    int open_line(Cell& cell, const Stage& s, int i, int id, double t, double floor) {
        const int ld = s.in.ld;
        const double gx = cell.map[i], gy = cell.map[ld + i], h = cell.map[2 * ld + i] - t;
        const double norm = std::sqrt(gx * gx + gy * gy), tol = p_.geometric * norm + floor;
        double lo, hi;
        range(gx, gy, h, cell.cell, &lo, &hi);
        if (hi > tol && lo < -tol) {
            reserve_lines(cell, s.in.ld > cell.lines ? s.in.ld : cell.lines + 1);
            const int l = cell.lines++;
            cell.gx[l] = gx, cell.gy[l] = gy, cell.h[l] = h;
            cell.floor[l] = floor, cell.tol[l] = tol, cell.id[l] = id;
            return 0;
        }
        return merge(cell, lo, hi, norm, floor);
    }

    // The sliver between the line and a vertex on its other side is left where it is.
    int merge(const Cell& cell, double lo, double hi, double norm, double floor) {
        const int side = hi > -lo ? +1 : -1;
        const double excess = side > 0 ? -lo : hi;
        if (excess > floor) {
            ++decisions.merged.count;
            decisions.merged.area += std::min(area(cell.cell), (excess + floor) / norm * extent(cell.cell));
        }
        return side;
    }

    static void range(double gx, double gy, double h, const Polygon& p, double* lo, double* hi) {
        *lo = INFINITY;
        *hi = -INFINITY;
        for (int v = 0; v < p.n; ++v) {
            const double z = gx * p.x[v] + (gy * p.y[v] + h);
            *lo = std::min(*lo, z);
            *hi = std::max(*hi, z);
        }
    }

    static void reserve_lines(Cell& cell, int n) {
        n = padded(n);
        for (auto* column : {&cell.gx, &cell.gy, &cell.h, &cell.floor, &cell.tol}) column->keep(n);
        cell.id.keep(n);
    }

    // ---- elementwise stages: cutting along an open line
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
    int choose(const Cell& cell, const Stage& s) const {
        if (s.kind == Stage::Kind::simple) return 0;
        const int row = jump(s, cell.id[0]).row;
        int last = 0;
        while (last + 1 < cell.lines && cell.id[last + 1] < s.ptr[row + 1]) ++last;
        return last / 2;
    }

    void split_line(Cell& cell) {
        const Stage& s = *chain_.stages[cell.stage - 1];
        const int line = choose(cell, s);
        const Polygon& p = cell.cell;
        double* z = z_.need(p.n);
        for (int v = 0; v < p.n; ++v) z[v] = cell.gx[line] * p.x[v] + (cell.gy[line] * p.y[v] + cell.h[line]);
        auto upper = fresh();
        const Jump j = jump(s, cell.id[line]);
        if (!split(p, z, cell.tol[line], segment_->id << 32 | segment_->seam_count, upper->cell, lower_)) {
            drop_line(cell, line, z);
            free_.push_back(std::move(upper));
            return;
        }
        segment_->new_seam(chain_.column[cell.stage - 1][j.row], j.piece, j.piece + 1);
        inherit(cell, *upper);
        raise(cell, cell.map, s, line, *upper);
        settle(cell, line, s, *upper);
        std::swap(cell.cell, lower_);
        settle(cell, line, s, cell);
        push(std::move(upper));
    }

    // A line that after all does not cut (its vertices were judged by other roundings).
    void drop_line(Cell& cell, int line, const double* z) {
        const Stage& s = *chain_.stages[cell.stage - 1];
        const auto [lo, hi] = std::minmax_element(z, z + cell.cell.n);
        const double norm = std::hypot(cell.gx[line], cell.gy[line]);
        if (*hi > cell.floor[line] && merge(cell, *lo, *hi, norm, cell.floor[line]) > 0)
            raise(cell, cell.map, s, line, cell);
        settle(cell, line, s, cell);
    }

    // A copy of what both sides of a cut share; the map too, unless so many are waiting that it is better made anew.
    void inherit(const Cell& from, Cell& to) {
        to.stage = from.stage;
        to.has_map = stack_maps_ < PENDING_MAPS / (size_t)p_threads();
        to.lines = to.groups = 0;
        std::memcpy(to.code.need(words_), from.code, words_ * sizeof(uint64_t));
        if (to.has_map) to.map.need(3 * (size_t)chain_.map(from.stage).ld);
    }

    int p_threads() const { return std::max(1, pool_.budget().threads); }

    // Puts the row of a line on the next higher piece, in `to`, whose map is made from `from` (which may be its own).
    void raise(const Cell& lines, const double* from, const Stage& s, int line, Cell& to) {
        const Jump j = jump(s, lines.id[line]);
        add_piece(chain_, to.stage - 1, j.row, 1, to.code);
        if (!to.has_map) return;
        const double d[3] = {j.slope * lines.gx[line], j.slope * lines.gy[line],
                             j.slope * (lines.h[line] + j.level) + j.offset};
        chain_.map(to.stage).rank_one(k_, j.row, d, from, to.map);
    }

    // Which of the open lines (but one) still cross the polygon of `to`; the others are decided. `to` may be `from`.
    void settle(const Cell& from, int without, const Stage& s, Cell& to) {
        const Polygon& p = to.cell;
        const int n = from.lines;
        k_.extremes(from.gx, from.gy, from.h, n, p.x, p.y, p.n, lo_.need(padded(n)), hi_.need(padded(n)));
        if (&to != &from) reserve_lines(to, std::max(1, n));
        int kept = 0;
        for (int l = 0; l < n; ++l) {
            if (l == without) continue;
            if (hi_[l] > from.tol[l] && lo_[l] < -from.tol[l]) {
                to.gx[kept] = from.gx[l], to.gy[kept] = from.gy[l], to.h[kept] = from.h[l];
                to.floor[kept] = from.floor[l], to.tol[kept] = from.tol[l], to.id[kept] = from.id[l];
                ++kept;
            } else if (hi_[l] > from.floor[l]) {
                const double norm = (from.tol[l] - from.floor[l]) / p_.geometric;
                if (lo_[l] >= -from.floor[l] || merge(to, lo_[l], hi_[l], norm, from.floor[l]) > 0)
                    raise(from, to.map, s, l, to);
            }
        }
        to.lines = kept;
    }

    // ---- selection stages
    int enter_selection(Cell& cell, const Stage& s) {
        const Polygon& p = cell.cell;
        const int ld = s.in.ld;
        const double* floor = p_.floors[cell.stage].data();
        k_.values(cell.map, cell.map + ld, cell.map + 2 * ld, ld, p.x, p.y, p.n, values_.need((size_t)p.n * ld));
        begin_columns(s.outputs);
        int k = 0;
        for (int g = 0; g < s.outputs; ++g) {
            const int* members = s.members.data() + s.ptr[g];
            const int m = s.ptr[g + 1] - s.ptr[g];
            const int winner = single_winner(members, m, p.n, ld, floor);
            if (winner < 0) {
                open_group(cell, s, g, members, m, floor);
            } else {
                add_piece(chain_, cell.stage, g, winner, cell.code);
                add_column(k, g, 1.0, 0.0, cell.map, ld, members[winner]);
            }
        }
        return k;
    }

    // The member that is the largest at every vertex (first of equals), or -1. Values are in values_[vertex * ld +
    // row].
    int single_winner(const int* members, int m, int corners, int ld, const double* floor) const {
        int w = 0;
        for (int b = 1; b < m; ++b) {
            const int rw = members ? members[w] : w, rb = members ? members[b] : b;
            const double f = floor[rw] + floor[rb];
            bool above = false, below = false;
            for (int v = 0; v < corners; ++v) {
                const double d = values_[(size_t)v * ld + rb] - values_[(size_t)v * ld + rw];
                above |= d > f;
                below |= d < -f;
            }
            if (above && below) return -1;
            if (above) w = b;
        }
        return w;
    }

    void open_group(Cell& cell, const Stage& s, int g, const int* members, int m, const double* floor) {
        const int ld = s.in.ld;
        reserve_lines(cell, cell.lines + m);
        cell.group.keep(cell.groups + 1);
        cell.start.keep(cell.groups + 2);
        cell.group[cell.groups] = g;
        cell.start[cell.groups++] = cell.lines;
        cell.start[cell.groups] = cell.lines + m;
        for (int i = 0; i < m; ++i) {
            const int l = cell.lines++, row = members[i];
            cell.gx[l] = cell.map[row], cell.gy[l] = cell.map[ld + row], cell.h[l] = cell.map[2 * ld + row];
            cell.floor[l] = floor[row], cell.tol[l] = 0, cell.id[l] = row;
        }
    }

    // Divides the cell by the winners of its first open group.
    void split_group(Cell& cell) {
        const int g = cell.group[0];
        const Members members = {cell.start[1] - cell.start[0], cell.gx, cell.gy, cell.h, cell.floor};
        envelope_.build(cell.cell, members, p_.geometric, decisions.merged);
        const int faces = (int)envelope_.faces.size(), column = chain_.column[cell.stage - 1][g];
        const auto seams = name_seams(envelope_, column, nullptr);
        for (int f = faces - 1; f >= 0; --f) {
            const int winner = envelope_.faces[f].winner;
            auto part = f > 0 ? fresh() : nullptr;
            Cell& to = f > 0 ? *part : cell;
            if (f > 0) {
                inherit(cell, to);
                copy_groups(cell, to);
            }
            const double d[3] = {cell.gx[winner], cell.gy[winner], cell.h[winner]};
            envelope_.polygon(f, [&](int o) { return seams[(size_t)f * faces + o]; }, to.cell);
            add_piece(chain_, to.stage - 1, g, winner, to.code);
            if (to.has_map) chain_.map(to.stage).rank_one(k_, g, d, cell.map, to.map);
            if (f == 0)
                copy_groups(cell, cell);
            else
                push(std::move(part));
        }
    }

    // All open groups but the first; `to` may be `from`.
    static void copy_groups(const Cell& from, Cell& to) {
        const int skip = from.start[1], n = from.lines - skip;
        reserve_lines(to, std::max(1, n));
        const std::pair<const double*, double*> columns[] = {
            {from.gx, to.gx}, {from.gy, to.gy}, {from.h, to.h}, {from.floor, to.floor}, {from.tol, to.tol}};
        for (auto [source, target] : columns) std::memmove(target, source + skip, n * sizeof(double));
        std::memmove(to.id, from.id + skip, n * sizeof(int));
        const int groups = from.groups - 1;
        to.group.keep(groups + 1);
        to.start.keep(groups + 1);
        for (int i = 0; i < groups; ++i) to.group[i] = from.group[i + 1];
        for (int i = 0; i <= groups; ++i) to.start[i] = from.start[i + 1] - skip;
        to.groups = groups;
        to.lines = n;
    }

    // One seam for each two neighbouring faces; the name of seam (f, g) stands at f * faces + g.
    std::vector<Seam> name_seams(const Envelope& e, int column, const int* winners) {
        const int n = (int)e.faces.size();
        std::vector<Seam> names((size_t)n * n, Envelope::INNER);
        Polygon scratch;
        for (int f = 0; f < n; ++f) {
            auto name = [&](int o) {
                if (o < 0) throw std::logic_error("a face of the winners' map has no neighbour");
                Seam& mine = names[(size_t)f * n + o];
                if (mine == Envelope::INNER) {
                    const int a = e.faces[std::min(f, o)].winner, b = e.faces[std::max(f, o)].winner;
                    mine = segment_->new_seam(column, winners ? winners[a] : a, winners ? winners[b] : b);
                    names[(size_t)o * n + f] = mine;
                }
                return mine;
            };
            e.polygon(f, name, scratch);
        }
        return names;
    }

    // ---- making the map anew from the code
    void remake_map(Cell& cell) {
        const int end = cell.stage;
        const Affine& first = chain_.map(0);
        const int columns[2] = {0, 1};
        const Frame& f = p_.frame;
        const double inputs[6] = {f.h[0], 0, 0, f.h[1], f.c[0], f.c[1]};
        first.product(k_, columns, 2, inputs, 2, spread_, cell.map.need(3 * (size_t)first.ld));
        cell.has_map = true;
        for (cell.stage = 0; cell.stage < end;) next_map(cell, columns_by_code(cell, *chain_.stages[cell.stage], end));
    }

    int columns_by_code(Cell& cell, const Stage& s, int end) {
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
    void emit(Cell& cell) {
        rounding.enter(cell.stage, cell.map, cell.code);
        switch (p_.split.mode) {
            case FinalSplit::Mode::none:
                return write(cell, cell.cell, -1, -1);
            case FinalSplit::Mode::labels:
                return split_labels(cell, cell.cell, (int)p_.split.thresholds.size() - 1, 0);
            default:
                return split_winners(cell);
        }
    }

    const std::vector<double>& out_floor() const { return p_.floors.back(); }

    Members outputs(const Cell& cell) const {
        const int ld = chain_.out->ld;
        return {chain_.out->rows, cell.map, cell.map + ld, cell.map + 2 * ld, out_floor().data()};
    }

    void split_winners(Cell& cell) {
        const Members y = outputs(cell);
        divide(cell, cell.cell, y, nullptr, envelope_, [&](int first, const Polygon& p) {
            count_ties(p, y, first, -1);
            if (p_.split.mode == FinalSplit::Mode::argmax)
                write(cell, p, first, -1);
            else
                split_second(cell, p, y, first);
        });
    }

    void split_second(Cell& cell, const Polygon& p, const Members& y, int first) {
        std::vector<double> rest[4];
        std::vector<int> which;
        for (int j = 0; j < y.n; ++j) {
            if (j == first) continue;
            which.push_back(j);
            const double* columns[4] = {y.gx, y.gy, y.h, y.floor};
            for (int c = 0; c < 4; ++c) rest[c].push_back(columns[c][j]);
        }
        for (auto& column : rest) column.resize(padded((int)which.size()));
        const Members others = {(int)which.size(), rest[0].data(), rest[1].data(), rest[2].data(), rest[3].data()};
        divide(cell, p, others, which.data(), second_,
               [&](int second, const Polygon& q) { write(cell, q, first, which[second]); });
    }

    // Calls use(winner, polygon) for the cell of every winner over p, in the order of winners.
    template <class Use>
    void divide(const Cell&, const Polygon& p, const Members& m, const int* names, Envelope& envelope, Use use) {
        const int n = padded(m.n);
        k_.values(m.gx, m.gy, m.h, n, p.x, p.y, p.n, values_.need((size_t)p.n * n));
        const int only = single_winner(nullptr, m.n, p.n, n, m.floor);
        if (only >= 0) return use(only, p);
        envelope.build(p, m, p_.geometric, decisions.merged);
        const int faces = (int)envelope.faces.size();
        const auto seams = name_seams(envelope, chain_.columns, names);
        Polygon part;
        for (int f = 0; f < faces; ++f) {
            envelope.polygon(f, [&](int o) { return seams[(size_t)f * faces + o]; }, part);
            use(envelope.faces[f].winner, part);
        }
    }

    // Another output equal to the winner on the whole piece.
    void count_ties(const Polygon& p, const Members& y, int first, int) {
        for (int j = 0; j < y.n; ++j) {
            if (j == first) continue;
            bool equal = true;
            for (int v = 0; v < p.n && equal; ++v)
                equal = std::abs(y.at(j, p.x[v], p.y[v]) - y.at(first, p.x[v], p.y[v])) <= y.floor[j] + y.floor[first];
            if (equal) {
                ++decisions.ties;
                return;
            }
        }
    }

    // Thresholds from the last output down, so that pieces come in the order of their masks.
    void split_labels(Cell& cell, const Polygon& p, int j, int mask) {
        if (j < 0) return write(cell, p, mask, -1);
        const Members y = outputs(cell);
        const double t = p_.split.thresholds[j], floor = y.floor[j] + std::abs(t) * 1e-15;
        const double norm = std::hypot(y.gx[j], y.gy[j]), tol = p_.geometric * norm + floor;
        std::vector<double> z(p.n);
        for (int v = 0; v < p.n; ++v) z[v] = y.at(j, p.x[v], p.y[v]) - t;
        Polygon upper, lower;
        const Seam seam = segment_->id << 32 | segment_->seam_count;
        if (split(p, z.data(), tol, seam, upper, lower)) {
            segment_->new_seam(chain_.columns, y.n == 1 ? 0 : j, y.n == 1 ? 1 : j);
            split_labels(cell, lower, j - 1, mask);
            split_labels(cell, upper, j - 1, mask | 1 << j);
            return;
        }
        const auto [lo, hi] = std::minmax_element(z.begin(), z.end());
        bool above = *hi > floor;
        if (!above && *lo >= -floor) ++decisions.ties;
        if (above && *lo < -floor) above = *hi > -*lo;
        split_labels(cell, p, j - 1, above ? mask | 1 << j : mask);
    }

    void write(const Cell& cell, const Polygon& p, int first, int second) {
        PlanarRows& rows = segment_->rows;
        const Frame& f = p_.frame;
        const int c = chain_.out->rows, ld = chain_.out->ld;
        std::memcpy(rows.codes.more(words_), cell.code, words_ * sizeof(uint64_t));
        rows.corners.push(p.n);
        double* v = rows.vertices.more(2 * (size_t)p.n);
        for (int i = 0; i < p.n; ++i) v[2 * i] = f.u(0, p.x[i]), v[2 * i + 1] = f.u(1, p.y[i]);
        std::memcpy(rows.edge_seam.more(p.n), p.seam, p.n * sizeof(Seam));
        double* coef = rows.coef.more(2 * (size_t)c);
        double* intercept = rows.intercept.more(c);
        for (int j = 0; j < c; ++j) {
            coef[2 * j] = cell.map[j] / f.h[0];
            coef[2 * j + 1] = cell.map[ld + j] / f.h[1];
            intercept[j] = cell.map[2 * ld + j] - (coef[2 * j] * f.c[0] + coef[2 * j + 1] * f.c[1]);
        }
        const double a = area(p);
        rows.area.push(a * f.scale());
        if (pool_.output.shape().first) rows.first.push(first);
        if (pool_.output.shape().second) rows.second.push(second);
        share_ += a;
        ++found_;
    }
};

}  // namespace

Shape PlanarRun::shape() const {
    using Mode = FinalSplit::Mode;
    const Mode mode = problem_.split.mode;
    return {problem_.chain->packing.words, problem_.chain->out->rows, mode != Mode::none, mode == Mode::top2};
}

PlanarRun::PlanarRun(std::shared_ptr<const Chain> chain, const double* polygon, int corners, const double* frame,
                     std::vector<std::vector<double>> floors, double geometric, FinalSplit split,
                     std::vector<double> watched, Budget budget)
    : problem_{std::move(chain),           {}, std::move(split),  std::move(floors),
               geometric * std::sqrt(8.0), 0,  std::move(watched)} {
    const Chain& net = *problem_.chain;
    if (net.inputs != 2) throw std::invalid_argument("the planar engine takes chains of 2 inputs");
    if (problem_.floors.size() != net.stages.size() + 1)
        throw std::invalid_argument("floors: one array a stage and one");
    for (size_t l = 0; l < problem_.floors.size(); ++l) {
        if ((int)problem_.floors[l].size() != net.map(l).rows)
            throw std::invalid_argument("floors do not fit the rows");
        problem_.floors[l].resize(net.map(l).ld, 0.0);
    }
    Frame& f = problem_.frame;
    for (int a = 0; a < 2; ++a) {
        double lo = polygon[a], hi = lo;
        for (int i = 1; i < corners; ++i) lo = std::min(lo, polygon[2 * i + a]), hi = std::max(hi, polygon[2 * i + a]);
        if (frame) lo = frame[a], hi = frame[2 + a];
        f.c[a] = lo + (hi - lo) / 2;
        f.h[a] = (hi - lo) / 2;
        if (!(f.h[a] > 0)) throw std::invalid_argument("the polygon is flat");
    }
    root_ = std::make_unique<Cell>();
    root_->cell.reserve(corners);
    for (int i = 0; i < corners; ++i)
        root_->cell.add((polygon[2 * i] - f.c[0]) / f.h[0], (polygon[2 * i + 1] - f.c[1]) / f.h[1], -1 - (Seam)i);
    problem_.whole = area(root_->cell);
    if (!(problem_.whole > 0)) throw std::invalid_argument("the polygon is not counter-clockwise");
    const int words = net.packing.words;
    std::fill_n(root_->code.need(words + 1), words, uint64_t(0));
    pool_ = std::make_unique<Pool<Cell>>(budget, PlanarOutput(shape(), f));
}

void PlanarRun::start() {
    pool_->start(std::move(root_), [this](Pool<Cell>& pool) { work(pool); });
}

void PlanarRun::work(Pool<Cell>& pool) {
    Walker walker(problem_, pool);
    walker.run();
    std::lock_guard lock(mutex_);
    decisions_.merged.count += walker.decisions.merged.count;
    decisions_.merged.area += walker.decisions.merged.area * problem_.frame.scale();
    decisions_.ties += walker.decisions.ties;
    RoundingWatch::merge(errors_, walker.rounding.worst());
}

}  // namespace pellucid
