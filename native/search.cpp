#include "search.hpp"

#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "arena.hpp"
#include "cells.hpp"
#include "margin.hpp"

namespace pellucid {
namespace {

void add_piece(const Chain& chain, size_t stage, int output, int piece, uint64_t* code) {
    const int column = chain.column[stage][output];
    if (column >= 0) code[chain.packing.places[column].word] += (uint64_t)piece << chain.packing.places[column].shift;
}

constexpr size_t COPIED = size_t(1) << 14;  // doubles of a map that is copied with every cell
constexpr double CLIMBED = 1e-9;  // how far a programme's value can be below the largest, in a box of diameter 1 or so
constexpr int KEPT = 128;         // witnesses of a cell beyond which only those that show a crossing are added

// One thread of a run.
class Searcher {
  public:
    Searcher(const SearchProblem& problem, SearchPool& pool)
        : rounding(*problem.chain, problem.watched, problem.floors, problem.frame.c.data(), problem.frame.h.data()),
          p_(problem),
          chain_(*problem.chain),
          k_(search_kernels()),
          pool_(pool),
          d_(problem.d),
          dp_(packed(problem.d)),
          comps_(problem.d + 1),
          words_(chain_.packing.words),
          cuts_(problem.d) {
        if (p_.near) near_.emplace(*p_.near, k_);
        if (p_.near && p_.near->is_choosy()) margins_.emplace(p_);
    }

    void run() {
        while (auto task = pool_.next(segment_)) {
            base_ = std::move(task);
            cuts_ = base_->cuts;
            arena_.release({});
            push(base_->node, base_->line);
            drain();
            report();
            pool_.end(segment_);
        }
    }

    SearchDecisions decisions;
    RoundingWatch rounding;

  private:
    struct Pending {
        Node node;
        int line;
        Arena::Mark mark;
    };

    const SearchProblem& p_;
    const Chain& chain_;
    const SearchKernels& k_;
    SearchPool& pool_;
    const int d_, dp_, comps_, words_;
    SearchPool::Segment* segment_ = nullptr;
    std::unique_ptr<SearchTask> base_;  // owns what the first cell refers to
    std::vector<Pending> stack_;
    size_t given_ = 0;  // cells at the bottom of the stack that were given away
    Cuts cuts_;
    Arena arena_;
    std::optional<Projector> near_;
    std::optional<Margins> margins_;
    int until_poll_ = 1;
    int64_t found_ = 0;
    double share_ = 0;

    // scratch
    Buffer<double> lp_, work_, direction_, lo_, hi_, sums_, delta_, values_, slack_, point_, spread_;
    Buffer<double> picked_, norm_, reach_, tol_, floor_;
    Buffer<int> columns_, piece_, open_, members_, id_;
    std::vector<const double*> vectors_;
    std::vector<Witness> watch_;

    // ---- the walk
    void drain() {
        while (stack_.size() > given_) {
            if (pool_.stopped() || pool_.enough(segment_)) return abandon();
            if (--until_poll_ <= 0 && poll()) return leave();
            if (pool_.wants_work() && stack_.size() > given_ + 1) give();
            const Pending next = stack_.back();
            stack_.pop_back();
            arena_.release(next.mark);
            Node cell = next.node;
            if (!is_far(cell)) resume(cell, next.line);
            follow(cell);
        }
        stack_.clear();
        given_ = 0;
    }

    bool poll() {
        until_poll_ = 16;
        report();
        if (!p_.rows && pool_.found.load(std::memory_order_relaxed) >= pool_.budget().max_rows)
            pool_.cancel("max_regions");
        return pool_.poll(segment_);
    }

    // Other threads go on.
    void leave() {
        std::vector<std::unique_ptr<SearchTask>> rest;
        for (size_t i = given_; i < stack_.size(); ++i) {
            const Pending& p = stack_[i];
            rest.push_back(std::make_unique<SearchTask>(p.node, p.line, cuts_, d_, map_size(p.node), words_));
        }
        pool_.give_all(std::move(rest), segment_);
        stack_.clear();
        given_ = 0;
    }

    void report() {
        pool_.found.fetch_add(found_, std::memory_order_relaxed);
        pool_.add_share(share_);
        decisions.regions += found_;
        found_ = 0;
        share_ = 0;
    }

    void push(const Node& node, int line) { stack_.push_back({node, line, arena_.mark()}); }

    void give() {
        const Pending& p = stack_[given_++];
        pool_.give(std::make_unique<SearchTask>(p.node, p.line, cuts_, d_, map_size(p.node), words_), segment_);
    }

    void abandon() {
        for (size_t i = given_; i < stack_.size(); ++i) {
            auto rest = std::make_unique<SearchTask>(d_);
            rest->node.share = stack_[i].node.share;
            rest->node.distance = stack_[i].node.distance;
            pool_.abandon(std::move(rest));
        }
        stack_.clear();
        given_ = 0;
    }

    size_t map_size(const Node& n) const {
        return (size_t)comps_ * chain_.map(std::min((size_t)n.stage, chain_.stages.size())).ld;
    }

    // The cuts of a pending cell, then what it was waiting for.
    void resume(Node& cell, int line) {
        cuts_.truncate(cell.cuts);
        for (int i = 0; i < cell.n_own; ++i) {
            const double* own = cell.own + (size_t)i * (d_ + 2);
            cuts_.push(own, 1, 1.0, own[d_], own[d_ + 1]);
        }
        cell.cuts += cell.n_own;
        cell.n_own = 0;
        if (line != -1) {
            const Node parent = cell;
            take_side(parent, line >= 0 ? line : -2 - line, line >= 0 ? +1 : -1, cell);
        }
    }

    void follow(Node& cell) {
        const int stages = (int)chain_.stages.size();
        for (;;) {
            if (is_far(cell) || is_decided(cell)) {
                share_ += cell.share;
                return;
            }
            if (cell.n_open > 0)
                split_line(cell);
            else if (cell.n_groups > 0)
                split_group(cell);
            else if (cell.n_raised > 0)
                add_raised(cell);
            else if (cell.stage < stages)
                enter(cell);
            else if (!enter_final(cell))
                break;
        }
        write(cell);
    }

    // ---- linear programmes
    struct Climb {
        bool beyond;  // stopped at a vertex beyond the limit, which is `work_`
        double value;
        bool moved;
    };

    // The largest c.x over the cell, from its witness number `start`; or the first value beyond the limit.
    Climb climb(const Witness* witnesses, int count, int start, const double* c, double limit) {
        const Halfspaces rows = cuts_.rows(1.0);
        lp_.need((size_t)lp_scratch(d_, rows.n));
        work_.need(Vertex::size(d_));
        ++decisions.programmes;
        LpResult r = k_.maximise(rows, witnesses[start].vertex, work_, c, limit, lp_, nullptr);
        decisions.pivots += r.pivots;
        until_poll_ -= r.pivots * d_ * d_ / 4096;  // long programmes count as more cells
        for (int other = 0; r.status == LpStatus::stuck && other < count; ++other) {
            ++decisions.rescued;
            std::vector<double> again(witnesses[other].vertex, witnesses[other].vertex + Vertex::size(d_));
            if (!k_.refactor(rows, again.data(), lp_)) continue;
            r = k_.maximise(rows, again.data(), work_, c, limit, lp_, nullptr);
            if (r.pivots == 0) std::copy(again.begin(), again.end(), work_.data.get());
        }
        if (r.status == LpStatus::stuck || r.status == LpStatus::unbounded)
            throw std::runtime_error("a linear programme of the search did not end");
        bool moved = r.pivots > 0;
        if (hides(r, limit)) moved = climb_again(witnesses, count, start, c, limit, r) || moved;
        return {r.status == LpStatus::stopped, r.value, moved && r.pivots > 0};
    }

    // An answer that rounding may have made too low, and that would decide otherwise if it were.
    static bool hides(const LpResult& r, double limit) {
        return r.status == LpStatus::optimal && r.doubt > 0 && r.value + r.doubt > limit;
    }

    // The same programme from other vertices, then from the middle of the cell. What is in doubt even then is counted.
    bool climb_again(const Witness* witnesses, int count, int start, const double* c, double limit, LpResult& r) {
        const Halfspaces rows = cuts_.rows(1.0);
        auto better = [&](const double* from) {
            const LpResult other = k_.maximise(rows, from, work_, c, limit, lp_, nullptr);
            if (other.status != LpStatus::optimal && other.status != LpStatus::stopped) return false;
            ++decisions.rescued;
            if (other.status == LpStatus::optimal && other.value + other.doubt >= r.value + r.doubt) return false;
            r = other;
            return !hides(r, limit);
        };
        for (int w = 0; w < count; ++w)
            if (w != start && better(witnesses[w].vertex)) return true;
        std::vector<double> x(dp_, 0.0), centre(dp_, 0.0), vertex(Vertex::size(d_));
        for (int q = 0; q < count; ++q)
            for (int i = 0; i < d_; ++i) x[i] += Vertex::x(witnesses[q].vertex)[i] / count;
        double radius;
        const Cuts all = with_box(cuts_, d_, 1.0);
        if (chebyshev(all.rows(INFINITY), nullptr, x.data(), centre.data(), &radius) && radius > 0 &&
            k_.to_vertex(rows, centre.data(), c, vertex.data(), lp_) && better(vertex.data()))
            return true;
        if (hides(r, limit)) merged(std::min(r.doubt, 2 * std::sqrt((double)d_)));
        return true;
    }

    const double* keep_vertex() {
        double* v = arena_.take(Vertex::size(d_));
        std::memcpy(v, work_, sizeof(double) * Vertex::size(d_));
        return v;
    }

    // ---- lines: which of them cross a cell
    // Values of all lines at the witnesses in watch_ are known. For each of `n` lines (numbers in `open`): does it
    // cross the cell? Vertices met on the way become witnesses. Those that cross stay in `open`; decide(line, upper) is
    // told of the others.
    template <class Decide>
    int settle(const Lines& lines, int* open, int n, Decide decide) {
        lo_.need(lines.ld);
        hi_.need(lines.ld);
        vectors_.clear();
        for (const Witness& w : watch_) vectors_.push_back(w.z);
        k_.extremes(vectors_.data(), (int)vectors_.size(), lines.n, lo_, hi_);
        int kept = 0;
        for (int q = 0; q < n; ++q) {
            const int l = open[q];
            const double tol = lines.tol[l];
            if (hi_[l] <= tol) reach(lines, l, +1);
            if (lo_[l] >= -tol && (hi_[l] > tol || lo_[l] >= -lines.floor[l] || hi_[l] > lines.floor[l]))
                reach(lines, l, -1);
            if (hi_[l] > tol && lo_[l] < -tol)
                open[kept++] = l;
            else {
                if (lines.labels && hi_[l] <= lines.floor[l] && lo_[l] >= -lines.floor[l]) ++decisions.ties;
                decide(l, side_of(lo_[l], hi_[l], lines.floor[l]));
            }
        }
        return kept;
    }

    // Extends hi (or lo) of a line to its largest value over the cell, or to a value beyond tolerance.
    void reach(const Lines& lines, int l, int sign) {
        double* c = direction_.need(dp_);
        for (int i = 0; i < d_; ++i) c[i] = sign * lines.map[(size_t)i * lines.ld + l];
        for (int i = d_; i < dp_; ++i) c[i] = 0;
        const double h = sign * lines.map[(size_t)d_ * lines.ld + l];
        int start = 0;
        for (int w = 1; w < (int)watch_.size(); ++w)
            if (sign * watch_[w].z[l] > sign * watch_[start].z[l]) start = w;
        const Climb top = climb(watch_.data(), (int)watch_.size(), start, c, lines.tol[l] - h);
        if (top.beyond || (top.moved && watch_.size() < KEPT)) add_witness(lines);
        const double z = sign * (top.value + h);
        (sign > 0 ? hi_ : lo_)[l] = sign > 0 ? std::max(z, hi_[l]) : std::min(z, lo_[l]);
    }

    void add_witness(const Lines& lines) {
        const double* v = keep_vertex();
        double* z = arena_.take(lines.ld);
        k_.evaluate(lines.map, lines.ld, lines.n, d_, Vertex::x(v), z);
        for (int i = 0; i < lines.n; ++i) {
            lo_[i] = std::min(lo_[i], z[i]);
            hi_[i] = std::max(hi_[i], z[i]);
        }
        watch_.push_back({v, z});
    }

    // On which side a line that does not cross leaves the cell; a sliver on the other side stays with it.
    bool side_of(double lo, double hi, double floor) {
        if (!(hi > floor)) return false;
        if (lo >= -floor) return true;
        merged(std::min(hi, -lo) + floor);
        return hi > -lo;
    }

    void merged(double thickness) {
        ++decisions.unresolved;
        decisions.thickness = std::max(decisions.thickness, thickness);
    }

    void store_witnesses(Node& n) {
        n.n_witness = (int)watch_.size();
        n.witness = arena_.take_as<Witness>(watch_.size());
        std::copy(watch_.begin(), watch_.end(), n.witness);
    }

    // ---- cutting along an open line
    // The line with the largest known part on its smaller side: cuts that halve keep the tree shallow.
    int choose(const Node& n) {
        vectors_.clear();
        for (int w = 0; w < n.n_witness; ++w) vectors_.push_back(n.witness[w].z);
        k_.extremes(vectors_.data(), n.n_witness, n.lines.n, lo_.need(n.lines.ld), hi_.need(n.lines.ld));
        int best = n.open[0];
        double most = -1;
        for (int q = 0; q < n.n_open; ++q) {
            const int l = n.open[q];
            const double part = std::min(hi_[l], -lo_[l]);
            if (part > most) best = l, most = part;
        }
        return best;
    }

    void split_line(Node& cell) {
        const int loosest = margins_ ? margins_->loosest() : -1;
        const int line = loosest >= 0 ? loosest : choose(cell);
        cell.share /= 2;
        const int side = near_ ? nearer_side(cell, line) : -1;
        Node other = cell;
        if (near_) other.distance = std::max(cell.distance, to_side(cell, line, -side));
        push(other, side < 0 ? line : -2 - line);
        const Node parent = cell;
        cell.owns_map = false;  // the one that waits keeps it
        take_side(parent, line, side, cell);
    }

    // ---- nearest first
    bool is_far(const Node& n) const { return near_ && n.distance > p_.near->radius(); }

    // No point of the cell within the radius has another decision.
    bool is_decided(const Node& n) {
        const bool asked = n.n_open > 0 || n.stage == (int)chain_.stages.size();
        if (margins_ && asked && n.stage <= (int)chain_.stages.size())
            rounding.enter(n.stage, n.map, n.code, false);  // open units on their lowest pieces
        return margins_ && asked && margins_->decided(n, p_.near->radius(), [&](const double* g, double limit) {
            return stays(n, g, limit);
        });
    }

    // Is g.v below the limit in the whole cell?
    bool stays(const Node& n, const double* g, double limit) {
        double square = 0;
        for (int i = 0; i < d_; ++i) square += g[i] * g[i];
        if (!(square > 0)) return limit > 0;
        const double norm = std::sqrt(square);
        double c[65 + PACK] = {};
        for (int i = 0; i < d_; ++i) c[i] = g[i] / norm;
        int start = 0;
        double top = -INFINITY;
        for (int w = 0; w < n.n_witness; ++w) {
            const double* x = Vertex::x(n.witness[w].vertex);
            double sum = 0;
            for (int i = 0; i < d_; ++i) sum += c[i] * x[i];
            if (sum > top) top = sum, start = w;
        }
        if (top >= limit / norm) return false;
        const Climb up = climb(n.witness, n.n_witness, start, c, limit / norm);
        return !up.beyond && up.value < limit / norm - CLIMBED;
    }

    int nearer_side(const Node& n, int line) {
        const Lines& lines = n.lines;
        double z = lines.map[(size_t)d_ * lines.ld + line];
        for (int i = 0; i < d_; ++i)
            z += lines.map[(size_t)i * lines.ld + line] * (p_.near->centre[i] + n.foot[i] / p_.near->weight[i]);
        return z > 0 ? +1 : -1;
    }

    double to_side(const Node& n, int line, int side) {
        const Lines& lines = n.lines;
        return near_->to_row(lines.map + line, lines.ld, -side, side * lines.map[(size_t)d_ * lines.ld + line]);
    }

    // The foot of a cell that was cut by the rows from number `from` on.
    void narrow(Node& n, int from) {
        if (!near_) return;
        bool held = true;
        for (int r = from; held && r < cuts_.size(); ++r) held = !near_->is_beyond(cuts_, r, n.foot);
        if (held) return;
        double* foot = arena_.take(Foot::size(d_));
        n.distance = std::max(n.distance, near_->project(cuts_, n.foot, foot, p_.near->radius()));
        n.foot = foot;
    }

    // The part of `parent` above (side = +1) or below a line. `to` starts as a copy of parent.
    void take_side(const Node& parent, int line, int side, Node& to) {
        const Lines& lines = parent.lines;
        const double b = side * lines.map[(size_t)d_ * lines.ld + line];
        cuts_.push(lines.map + line, lines.ld, -side, b, stretch(lines.map + line, lines.ld));
        ++to.cuts;
        narrow(to, to.cuts - 1);
        if (is_far(to)) return;
        to.code = copy_code(parent.code);
        watch_.clear();
        for (int w = 0; w < parent.n_witness; ++w)
            if (side * parent.witness[w].z[line] >= 0) watch_.push_back(parent.witness[w]);
        if (side > 0) raise(to, line);
        to.open = arena_.take_as<int>(parent.n_open);
        int n = 0;
        for (int q = 0; q < parent.n_open; ++q)
            if (parent.open[q] != line) to.open[n++] = parent.open[q];
        to.n_open = settle(lines, to.open, n, [&](int l, bool upper) {
            if (upper) raise(to, l);
        });
        store_witnesses(to);
    }

    // A unit normal's length in the caller's coordinates, inverted.
    double stretch(const double* a, int step) const {
        double sum = 0;
        for (int i = 0; i < d_; ++i) {
            const double g = a[(size_t)i * step] / p_.frame.h[i];
            sum += g * g;
        }
        return sum > 0 ? 1 / std::sqrt(sum) : 0;
    }

    uint64_t* copy_code(const uint64_t* from) {
        uint64_t* code = arena_.take_as<uint64_t>(words_);
        std::copy(from, from + words_, code);
        return code;
    }

    // Puts the row of a line on the next higher piece.
    void raise(Node& n, int l) {
        const int id = n.lines.id[l];
        if (n.stage > (int)chain_.stages.size()) {
            n.first |= 1 << id;
            return;
        }
        const BreakLine& line = p_.plans[n.stage - 1].lines[id];
        add_piece(chain_, n.stage - 1, line.row, 1, n.code);
        add_line(n, l, line.row);
    }

    // What line l adds to the rows of the next stage by its output `column`: at once, or noted for later where the map
    // is too large for a copy with every cell.
    void add_line(Node& n, int l, int column) {
        if (map_size(n) <= COPIED) return add_now(n, l, column);
        int* raised = arena_.take_as<int>(2 * ((size_t)n.n_raised + 1));
        std::copy(n.raised, n.raised + 2 * n.n_raised, raised);
        n.raised = raised;
        raised[2 * n.n_raised] = l;
        raised[2 * n.n_raised++ + 1] = column;
    }

    void add_raised(Node& n) {
        for (int q = 0; q < n.n_raised; ++q) add_now(n, n.raised[2 * q], n.raised[2 * q + 1]);
        n.n_raised = 0;
    }

    void add_now(Node& n, int l, int column) {
        const Lines& lines = n.lines;
        double* delta = delta_.need(comps_);
        for (int c = 0; c < comps_; ++c) delta[c] = lines.map[(size_t)c * lines.ld + l];
        if (lines.norm) {  // a unit goes up by one piece; else a member wins its group
            const BreakLine& line = p_.plans[n.stage - 1].lines[lines.id[l]];
            const double f = line.slope * (lines.norm[l] > 0 ? lines.norm[l] : 1);
            for (int c = 0; c < comps_; ++c) delta[c] *= f;
            delta[d_] += line.slope * line.level + line.offset;
        }
        add_column(n, column, delta);
    }

    // map += A[:, column] (outer) delta
    void add_column(Node& n, int column, const double* delta) {
        const Affine& next = chain_.map(n.stage);
        const double* from = n.map;
        if (!n.owns_map) n.map = arena_.take((size_t)comps_ * next.ld);
        n.owns_map = true;
        if (!next.sparse)
            return k_.rank_one(next.tiles.data(), next.rows, next.cols, column, delta, comps_, from, n.map);
        if (from != n.map) std::copy(from, from + (size_t)comps_ * next.ld, n.map);
        for (int64_t q = next.col_ptr[column]; q < next.col_ptr[column + 1]; ++q)
            for (int c = 0; c < comps_; ++c) n.map[(size_t)c * next.ld + next.col_row[q]] += next.col_val[q] * delta[c];
    }

    // ---- entering a stage
    void enter(Node& n) {
        ++decisions.cells;
        const Stage& s = *chain_.stages[n.stage];
        rounding.enter(n.stage, n.map, n.code);
        n.code = copy_code(n.code);
        columns_.need(s.outputs);
        sums_.need((size_t)comps_ * s.outputs);
        const int k = s.kind == Stage::Kind::selection ? enter_selection(n, s) : enter_lines(n, s);
        next_map(n, k, s.outputs);
    }

    // The outputs of the stage stand in sums_, for k columns.
    void next_map(Node& n, int k, int lds) {
        const Affine& next = chain_.map(++n.stage);
        n.map = arena_.take((size_t)comps_ * next.ld);
        n.owns_map = true;
        product(k_, next, columns_, k, sums_, lds, comps_, n.map);
    }

    void add_sum(int& k, int output, int outputs, double slope, double offset, const double* map, int ld, int row) {
        if (slope == 0 && offset == 0) return;
        columns_[k++] = output;
        for (int c = 0; c < comps_; ++c) sums_[(size_t)c * outputs + output] = slope * map[(size_t)c * ld + row];
        sums_[(size_t)d_ * outputs + output] += offset;
    }

    int enter_lines(Node& n, const Stage& s) {
        const StagePlan& plan = p_.plans[n.stage];
        for (int w = 0; w < words_; ++w) n.code[w] += plan.code[w];
        int* piece = piece_.need(s.outputs);
        std::copy(plan.base.begin(), plan.base.end(), piece);
        open_lines(n, plan, n.map, s.in.ld, [&](int id) {
            ++piece[plan.lines[id].row];
            add_piece(chain_, n.stage, plan.lines[id].row, 1, n.code);
        });
        int k = 0;
        for (int i = 0; i < s.outputs; ++i) {
            const int at = s.ptr[i] + i + piece[i];
            add_sum(k, i, s.outputs, s.slopes[at], s.offsets[at], n.map, s.in.ld, i);
        }
        return k;
    }

    // Makes the lines of a stage over the cell, decides those that do not cross it (upper(id) is told) and keeps the
    // others.
    template <class Upper>
    void open_lines(Node& n, const StagePlan& plan, const double* map, int ld, Upper upper) {
        const int count = (int)plan.lines.size();
        n.n_open = 0;
        n.lines = {};
        if (!count) return;
        Lines all;
        all.labels = &plan == &p_.outputs;
        all.ld = packed(count);
        all.map = picked_.need((size_t)comps_ * all.ld);
        all.norm = norm_.need(all.ld);
        all.tol = tol_.need(all.ld);
        all.floor = floor_.need(all.ld);
        double* reach = reach_.need(all.ld);
        k_.pick(map, ld, d_, plan.rows.data(), plan.levels.data(), count, all.map, all.ld, all.norm, reach);
        // over the whole box no vertex of the cell can be beyond the rounding floor on one of the sides
        int* id = id_.need(count);
        for (int l = 0; l < count; ++l) {
            const bool flat = !(all.norm[l] > 0);
            const double floor = flat ? plan.floors[l] : plan.floors[l] / all.norm[l];
            const double h = all.map[(size_t)d_ * all.ld + l];
            const bool low = h + reach[l] <= floor, high = h - reach[l] >= -floor;
            if (low || high) {
                if (all.labels && low && high) ++decisions.ties;
                if (!low) upper(l);
                continue;
            }
            id[all.n] = l;
            all.norm[all.n] = all.norm[l];
            all.floor[all.n] = floor;
            all.tol[all.n++] = floor + p_.geometric;
        }
        if (!all.n) return;
        shrink(all, id, packed(all.n));
        watch_.clear();
        for (int w = 0; w < n.n_witness; ++w) {
            double* z = arena_.take(all.ld);
            k_.evaluate(all.map, all.ld, all.n, d_, Vertex::x(n.witness[w].vertex), z);
            watch_.push_back({n.witness[w].vertex, z});
        }
        int* open = open_.need(all.n);
        for (int l = 0; l < all.n; ++l) open[l] = l;
        const int kept = settle(all, open, all.n, [&](int l, bool above) {
            if (above) upper(id[l]);
        });
        compact(n, all, open, kept, id);
    }

    // Keeps the lines `which` of a map, ascending, in its place.
    void shrink(Lines& lines, const int* which, int ld) {
        for (int c = 0; c < comps_; ++c) {
            const double* from = lines.map + (size_t)c * lines.ld;
            double* to = lines.map + (size_t)c * ld;
            for (int q = 0; q < lines.n; ++q) to[q] = from[which[q]];
            for (int q = lines.n; q < ld; ++q) to[q] = 0;
        }
        lines.ld = ld;
    }

    // Keeps the lines that are open, and the witnesses' values of them.
    void compact(Node& n, const Lines& all, const int* open, int kept, const int* id) {
        Lines& to = n.lines;
        to.n = kept;
        to.labels = all.labels;
        to.ld = packed(kept);
        to.map = arena_.take((size_t)comps_ * to.ld);
        to.norm = arena_.take(to.ld);
        to.tol = arena_.take(to.ld);
        to.floor = arena_.take(to.ld);
        to.id = arena_.take_as<int>(to.ld);
        n.open = arena_.take_as<int>(to.ld);
        n.n_open = kept;
        for (int c = 0; c < comps_; ++c)
            gather(all.map + (size_t)c * all.ld, open, kept, to.map + (size_t)c * to.ld, to.ld);
        gather(all.norm, open, kept, to.norm, to.ld);
        gather(all.tol, open, kept, to.tol, to.ld);
        gather(all.floor, open, kept, to.floor, to.ld);
        for (int q = 0; q < kept; ++q) to.id[q] = id[open[q]], n.open[q] = q;
        for (Witness& w : watch_) {
            double* z = arena_.take(to.ld);
            gather(w.z, open, kept, z, to.ld);
            w.z = z;
        }
        store_witnesses(n);
    }

    static void gather(const double* from, const int* which, int n, double* to, int ld) {
        for (int q = 0; q < n; ++q) to[q] = from[which[q]];
        for (int q = n; q < ld; ++q) to[q] = 0;
    }

    // ---- selections: the cell is divided by the winners of a group
    // Halfspaces of a map among which the largest is sought. `id` is what a winner is called.
    void keep_members(Node& n, const double* map, int ld, const double* floor, const int* rows, const int* ids,
                      const std::vector<int>& starts, const int* outputs) {
        Lines& to = n.lines;
        const int groups = (int)starts.size() - 1;
        to.n = starts.back();
        to.ld = packed(to.n);
        to.map = arena_.take((size_t)comps_ * to.ld);
        to.floor = arena_.take(to.ld);
        to.id = arena_.take_as<int>(to.ld);
        to.norm = to.tol = nullptr;
        for (int c = 0; c < comps_; ++c) gather(map + (size_t)c * ld, rows, to.n, to.map + (size_t)c * to.ld, to.ld);
        gather(floor, rows, to.n, to.floor, to.ld);
        std::copy(ids, ids + to.n, to.id);
        n.groups = arena_.take_as<Group>(groups);
        n.n_groups = groups;
        for (int g = 0; g < groups; ++g) n.groups[g] = {outputs[g], starts[g], starts[g + 1]};
    }

    int enter_selection(Node& n, const Stage& s) {
        const int ld = s.in.ld;
        const double* floor = p_.floors[n.stage].data();
        std::vector<int> rows, ids, starts{0}, open;
        int k = 0;
        for (int g = 0; g < s.outputs; ++g) {
            const int* members = s.members.data() + s.ptr[g];
            const int m = s.ptr[g + 1] - s.ptr[g];
            const int winner = m == 1 ? 0 : single_winner(n, n.map, ld, members, m, floor);
            if (winner >= 0) {
                add_piece(chain_, n.stage, g, winner, n.code);
                add_sum(k, g, s.outputs, 1.0, 0.0, n.map, ld, members[winner]);
                continue;
            }
            for (int b = 0; b < m; ++b) rows.push_back(members[b]), ids.push_back(b);
            starts.push_back((int)rows.size());
            open.push_back(g);
        }
        keep_members(n, n.map, ld, floor, rows.data(), ids.data(), starts, open.data());
        return k;
    }

    // The member that is clearly the largest at every witness, if a programme finds no vertex where another is; -1
    // where there is more to be decided.
    int single_winner(Node& n, const double* map, int ld, const int* members, int m, const double* floor) {
        auto value = [&](int b, const double* x) {
            double z = map[(size_t)d_ * ld + members[b]];
            for (int i = 0; i < d_; ++i) z += map[(size_t)i * ld + members[b]] * x[i];
            return z;
        };
        int w = 0;
        double top = -INFINITY;
        for (int b = 0; b < m; ++b) {
            double mean = 0;
            for (int q = 0; q < n.n_witness; ++q) mean += value(b, Vertex::x(n.witness[q].vertex));
            if (mean > top) w = b, top = mean;
        }
        for (int b = 0; b < m; ++b) {
            if (b == w) continue;
            Difference diff = difference(map, ld, members[b], members[w], floor[members[b]] + floor[members[w]]);
            double most = -INFINITY;
            int start = 0;
            for (int q = 0; q < n.n_witness; ++q) {
                const double z = diff.at(Vertex::x(n.witness[q].vertex), d_);
                if (z > most) most = z, start = q;
            }
            if (most <= diff.floor)
                most = climb(n.witness, n.n_witness, start, diff.c, diff.floor - diff.h).value + diff.h;
            if (most > diff.floor || (b < w && most >= -diff.floor)) return -1;
        }
        return w;
    }

    // z_a - z_b of two rows of a map, of unit length.
    struct Difference {
        double c[65 + PACK], h, floor, tol;
        double at(const double* x, int d) const {
            double z = h;
            for (int i = 0; i < d; ++i) z += c[i] * x[i];
            return z;
        }
    };

    Difference difference(const double* map, int ld, int a, int b, double floor) const {
        Difference diff;
        double square = 0;
        for (int i = 0; i < dp_; ++i) {
            diff.c[i] = i < d_ ? map[(size_t)i * ld + a] - map[(size_t)i * ld + b] : 0;
            square += diff.c[i] * diff.c[i];
        }
        diff.h = map[(size_t)d_ * ld + a] - map[(size_t)d_ * ld + b];
        const double norm = square > 0 ? std::sqrt(square) : 1;
        for (int i = 0; i < d_; ++i) diff.c[i] /= norm;
        diff.h /= norm;
        diff.floor = floor / norm;
        diff.tol =
            diff.floor + (square > 0 ? p_.geometric : 0);  // a constant difference has no distance to a hyperplane
        return diff;
    }

    // The part of a cell where member w wins against the others in `rivals`: false where that is nowhere, by more than
    // the tolerance. Cuts are pushed, watch_ holds its witnesses.
    bool cut_to_winner(const Node& n, int w, const std::vector<int>& rivals) {
        watch_.assign(n.witness, n.witness + n.n_witness);
        for (int b : rivals) {
            if (b == w) continue;
            const Difference diff = difference(n.lines.map, n.lines.ld, w, b, n.lines.floor[w] + n.lines.floor[b]);
            double lo, hi;
            bool was_beyond;
            range(diff, lo, hi, was_beyond);
            if (hi <= diff.tol) {
                if (hi > diff.floor && lo < -diff.floor) merged(std::min(hi, -lo));
                if (lo >= -diff.tol && w < b) continue;  // equal, and the first of the two
                return false;
            }
            if (lo >= -diff.tol) {
                if (lo < -diff.floor) merged(-lo);
                continue;
            }
            cuts_.push(diff.c, 1, -1.0, diff.h, stretch(diff.c, 1));
            size_t kept = 0;
            for (const Witness& q : watch_)
                if (diff.at(Vertex::x(q.vertex), d_) >= 0) watch_[kept++] = q;
            watch_.resize(kept);
        }
        return true;
    }

    // Least and largest difference over the cell of watch_, or values beyond tolerance.
    void range(const Difference& diff, double& lo, double& hi, bool& grown) {
        lo = INFINITY, hi = -INFINITY, grown = false;
        int low = 0, high = 0;
        for (int q = 0; q < (int)watch_.size(); ++q) {
            const double z = diff.at(Vertex::x(watch_[q].vertex), d_);
            if (z < lo) lo = z, low = q;
            if (z > hi) hi = z, high = q;
        }
        double c[65 + PACK];
        for (int sign : {+1, -1}) {
            if (sign > 0 ? hi > diff.tol : lo < -diff.tol) continue;
            for (int i = 0; i < dp_; ++i) c[i] = sign * diff.c[i];
            const Climb top =
                climb(watch_.data(), (int)watch_.size(), sign > 0 ? high : low, c, diff.tol - sign * diff.h);
            const double z = sign * (top.value + sign * diff.h);
            if (sign > 0) hi = std::max(hi, z);
            if (sign < 0) lo = std::min(lo, z);
            if (top.beyond) watch_.push_back({keep_vertex(), nullptr}), grown = true;
        }
    }

    // Divides the cell by the winners of its first open group.
    void split_group(Node& cell) {
        const Group group = cell.groups[0];
        std::vector<int> all, winners;
        for (int b = group.begin; b < group.end; ++b) all.push_back(b);
        const int cuts = cuts_.size();
        for (int w : all) {
            if (cut_to_winner(cell, w, all)) winners.push_back(w);
            cuts_.truncate(cuts);
        }
        if (winners.empty()) winners.push_back(likely_winner(cell, all));  // all parts are thinner than the tolerance
        const Node parent = cell;
        const size_t waiting = stack_.size();
        for (size_t i = winners.size(); i-- > 0;) {
            Node part = parent;
            part.share = parent.share / (double)winners.size();
            if (winners.size() > 1)
                if (!cut_to_winner(parent, winners[i], winners)) throw std::logic_error("a winner has lost its part");
            if (winners.size() == 1) watch_.assign(parent.witness, parent.witness + parent.n_witness);
            store_witnesses(part);
            part.groups = parent.groups + 1;
            part.n_groups = parent.n_groups - 1;
            part.code = copy_code(parent.code);
            part.owns_map = false;
            win(part, group, winners[i]);
            narrow(part, cuts);
            keep_own(part, cuts);
            cuts_.truncate(cuts);
            if (is_far(part))
                share_ += part.share;
            else
                push(part, -1);
        }
        if (stack_.size() == waiting) {
            cell.distance = INFINITY;
            cell.share = 0;
            return;
        }
        cell = stack_.back().node;  // the first winner's; what it refers to stays until its own parts are released
        stack_.pop_back();
        resume(cell, -1);
    }

    int likely_winner(const Node& n, const std::vector<int>& members) const {
        int best = members[0];
        double top = -INFINITY;
        for (int b : members) {
            double sum = 0;
            for (int q = 0; q < n.n_witness; ++q) {
                const double* x = Vertex::x(n.witness[q].vertex);
                sum += n.lines.map[(size_t)d_ * n.lines.ld + b];
                for (int i = 0; i < d_; ++i) sum += n.lines.map[(size_t)i * n.lines.ld + b] * x[i];
            }
            if (sum > top + n.n_witness * n.lines.floor[b]) best = b, top = sum;
        }
        return best;
    }

    // The cuts from number `from` on, kept with a cell that has to wait.
    void keep_own(Node& n, int from) {
        n.n_own = cuts_.size() - from;
        n.own = arena_.take((size_t)n.n_own * (d_ + 2));
        for (int r = 0; r < n.n_own; ++r) {
            double* own = n.own + (size_t)r * (d_ + 2);
            for (int i = 0; i < d_; ++i) own[i] = cuts_.a(from + r, i);
            own[d_] = cuts_.b(from + r);
            own[d_ + 1] = cuts_.stretch(from + r);
        }
    }

    void win(Node& n, const Group& group, int w) {
        const int stages = (int)chain_.stages.size();
        if (n.stage <= stages) {
            add_piece(chain_, n.stage - 1, group.output, n.lines.id[w], n.code);
            return add_line(n, w, group.output);
        }
        (n.stage == stages + 1 ? n.first : n.second) = n.lines.id[w];
    }

    // ---- the split by outputs
    // False when there is nothing left to split by. Stages beyond the last are the steps of that split.
    bool enter_final(Node& n) {
        const int step = n.stage - (int)chain_.stages.size();
        using Mode = FinalSplit::Mode;
        if (step == 0) {
            n.outputs = n.map;
            rounding.enter(n.stage, n.map, n.code);
        }
        if (p_.split.mode == Mode::none) return false;
        if (p_.split.mode == Mode::labels) {
            if (step == 1) return false;
            n.first = 0;
            n.stage += 1;
            open_lines(n, p_.outputs, n.outputs, chain_.out->ld, [&](int id) { n.first |= 1 << id; });
            return true;
        }
        if (step == 1) count_ties(n);
        if (step == (p_.split.mode == Mode::argmax ? 1 : 2)) return false;
        members_.need(chain_.out->rows);
        int m = 0;
        for (int j = 0; j < chain_.out->rows; ++j)
            if (step == 0 || j != n.first) members_[m++] = j;
        n.stage += 1;
        const int none = -1;
        keep_members(n, n.outputs, chain_.out->ld, p_.floors.back().data(), members_, members_, {0, m}, &none);
        return true;
    }

    // Another output equal to the winner on the whole piece.
    void count_ties(const Node& n) {
        const int ld = chain_.out->ld;
        watch_.assign(n.witness, n.witness + n.n_witness);
        for (int j = 0; j < chain_.out->rows; ++j) {
            if (j == n.first) continue;
            const auto& floor = p_.floors.back();
            Difference diff = difference(n.outputs, ld, j, n.first, floor[j] + floor[n.first]);
            bool equal = true;
            for (int q = 0; q < n.n_witness && equal; ++q)
                equal = std::abs(diff.at(Vertex::x(n.witness[q].vertex), d_)) <= diff.floor;
            if (!equal) continue;
            diff.tol = diff.floor;
            double lo, hi;
            bool grown;
            range(diff, lo, hi, grown);
            if (hi <= diff.floor && lo >= -diff.floor) {
                ++decisions.ties;
                return;
            }
        }
    }

    // ---- regions
    void write(const Node& n) {
        share_ += n.share;
        if (p_.near && !p_.near->wants(n.first)) return;
        ++found_;
        const double distance = near_ ? near_->length(Foot::y(n.foot)) : 0;
        if (p_.near) p_.near->found(distance);
        if (!p_.rows) return;
        RegionRows& rows = segment_->rows;
        const int c = chain_.out->rows, ld = chain_.out->ld;
        const auto& f = p_.frame;
        std::memcpy(rows.codes.more(words_), n.code, words_ * sizeof(uint64_t));
        const double* v = interior(n);
        double* u = rows.points.more(d_);
        for (int i = 0; i < d_; ++i) u[i] = f.c[i] + f.h[i] * v[i];
        rows.clearance.push(clearance(v));
        if (p_.near) write_foot(rows, n, distance);
        if (pool_.output.shape().first) rows.first.push(n.first);
        if (pool_.output.shape().second) rows.second.push(n.second);
        if (pool_.output.shape().cuts) write_cuts(rows);
        if (!p_.maps) return;
        double* coef = rows.coef.more((size_t)c * d_);
        double* intercept = rows.intercept.more(c);
        for (int j = 0; j < c; ++j) {
            double h = n.outputs[(size_t)d_ * ld + j];
            for (int i = 0; i < d_; ++i) {
                coef[j * d_ + i] = n.outputs[(size_t)i * ld + j] / f.h[i];
                h -= coef[j * d_ + i] * f.c[i];
            }
            intercept[j] = h;
        }
    }

    void write_foot(RegionRows& rows, const Node& n, double distance) {
        const Nearness& near = *p_.near;
        rows.distance.push(distance);
        double* u = rows.feet.more(d_);
        for (int i = 0; i < d_; ++i)
            u[i] = p_.frame.c[i] + p_.frame.h[i] * (near.centre[i] + n.foot[i] / near.weight[i]);
    }

    void write_cuts(RegionRows& rows) {
        const auto& f = p_.frame;
        rows.cut_span.push((int64_t)rows.cuts.size / (d_ + 1));
        rows.cut_span.push(cuts_.size() - p_.domain_cuts);
        for (int r = p_.domain_cuts; r < cuts_.size(); ++r) {
            double* out = rows.cuts.more(d_ + 1);
            double b = cuts_.b(r);
            for (int i = 0; i < d_; ++i) {
                out[i] = cuts_.a(r, i) / f.h[i];
                b += out[i] * f.c[i];
            }
            out[d_] = b;
        }
    }

    // A point inside the cell: halfway along a chord that leaves a vertex between its edges, then halfway to the mean
    // of the witnesses.
    const double* interior(const Node& n) {
        const Halfspaces rows = cuts_.rows(1.0);
        lp_.need((size_t)lp_scratch(d_, rows.n));
        double* v = point_.need(3 * (size_t)dp_);
        double *p = v + dp_, *mean = p + dp_;
        double* slack = slack_.need(packed(rows.n) + PACK);
        for (int i = 0; i < d_; ++i) {
            mean[i] = 0;
            for (int w = 0; w < n.n_witness; ++w) mean[i] += Vertex::x(n.witness[w].vertex)[i];
            mean[i] /= n.n_witness;
        }
        double best = -1;
        for (int w = n.n_witness - 1; w >= 0 && !(best > p_.deep); --w) {
            const double *x = Vertex::x(n.witness[w].vertex), *e = Vertex::edges(n.witness[w].vertex, dp_);
            double square = 0;
            double scale[65 + PACK] = {};
            for (int i = 0; i < d_; ++i)
                for (int k = 0; k < dp_; ++k) scale[k] += e[(size_t)i * dp_ + k] * e[(size_t)i * dp_ + k];
            for (int k = 0; k < d_; ++k) scale[k] = 1 / std::sqrt(scale[k]);
            for (int i = 0; i < d_; ++i) {
                p[i] = 0;
                for (int k = 0; k < d_; ++k) p[i] += scale[k] * e[(size_t)i * dp_ + k];
                square += p[i] * p[i];
            }
            for (int i = 0; i < d_; ++i) p[i] /= std::sqrt(square);
            for (int i = d_; i < dp_; ++i) p[i] = 0;
            k_.slacks(rows, x, slack);
            int hit;
            double next;
            const double step = k_.ray(rows, x, slack, p, -1, lp_, &hit, &next);
            double trial[65 + PACK];
            for (int i = 0; i < d_; ++i) trial[i] = (x[i] + step / 2 * p[i] + mean[i]) / 2;
            const double room = depth(trial);
            if (room > best) best = room, std::copy(trial, trial + d_, v);
        }
        if (!(best > p_.deep)) deepen(v, best);
        return v;
    }

    // Distance to the nearest halfspace, kernel coordinates.
    double depth(const double* v) {
        const Halfspaces rows = cuts_.rows(1.0);
        double* slack = slack_.need(packed(rows.n) + PACK);
        k_.slacks(rows, v, slack);
        double least = INFINITY;
        for (int r = 0; r < rows.n; ++r) least = std::min(least, slack[r]);
        for (int i = 0; i < d_; ++i) least = std::min(least, 1 - std::abs(v[i]));
        return least;
    }

    // The same in the caller's coordinates; 0 when the point is not strictly inside.
    double clearance(const double* v) {
        double* slack = slack_.need(packed(cuts_.size()) + PACK);
        k_.slacks(cuts_.rows(1.0), v, slack);
        double least = INFINITY;
        for (int r = 0; r < cuts_.size(); ++r) least = std::min(least, slack[r] * cuts_.stretch(r));
        for (int i = 0; i < d_; ++i) least = std::min(least, (1 - std::abs(v[i])) * p_.frame.h[i]);
        return std::max(least, 0.0);
    }

    // Chebyshev's centre instead, where it is deeper.
    void deepen(double* v, double depth_so_far) {
        const Cuts all = with_box(cuts_, d_, 1.0);
        double centre[65 + PACK], radius;
        if (chebyshev(all.rows(INFINITY), nullptr, v, centre, &radius) && radius > depth_so_far)
            std::copy(centre, centre + d_, v);
    }
};

}  // namespace

SearchRun::SearchRun(std::shared_ptr<const Chain> chain, std::vector<double> centre, std::vector<double> half,
                     const double* G, const double* h, int rows, std::vector<std::vector<double>> floors,
                     const std::vector<std::vector<double>>& lower, const std::vector<std::vector<double>>& upper,
                     double geometric, FinalSplit split, bool maps, bool keep_rows, bool keep_cuts, const double* start,
                     std::vector<double> watched, Budget budget, std::unique_ptr<Nearness> near) {
    SearchProblem& p = problem_;
    p.chain = std::move(chain);
    const Chain& net = *p.chain;
    const int d = p.d = net.inputs;
    if (d < 1 || d > 64) throw std::invalid_argument("the search engine takes chains of 1 to 64 inputs");
    if (centre.size() != (size_t)d || half.size() != (size_t)d)
        throw std::invalid_argument("the bounding box does not fit the chain");
    for (double w : half)
        if (!(w > 0)) throw std::invalid_argument("the domain is flat");
    p.frame = {std::move(centre), std::move(half)};
    p.split = std::move(split);
    p.floors = std::move(floors);
    p.geometric = geometric * 2 * std::sqrt((double)d);
    for (int i = 0; i < d; ++i)  // in the caller's coordinates a point is rounded by that much
        p.deep = std::max(p.deep, 64 * 2.3e-16 * std::abs(p.frame.c[i]) / p.frame.h[i]);
    p.maps = maps;
    p.rows = keep_rows;
    p.watched = std::move(watched);
    p.near = std::move(near);
    if (p.floors.size() != net.stages.size() + 1 || lower.size() < net.stages.size() ||
        upper.size() < net.stages.size())
        throw std::invalid_argument("floors and bounds: one array a stage and one");
    for (size_t l = 0; l < p.floors.size(); ++l)
        if ((int)p.floors[l].size() != net.map(l).rows) throw std::invalid_argument("floors do not fit the rows");
    plan(lower, upper);
    root_ = root_cell(p, G, h, rows, start);
    p.domain_cuts = root_->cuts.size();
    using Mode = FinalSplit::Mode;
    const SearchShape shape{
        net.packing.words, net.out->rows,     d,        p.split.mode != Mode::none, p.split.mode == Mode::top2, maps,
        keep_rows,         p.near != nullptr, keep_cuts};
    pool_ = std::make_unique<SearchPool>(budget, SearchOutput(shape, budget));
}

SearchRun::~SearchRun() = default;

void SearchRun::start() {
    pool_->start(std::move(root_), [this](SearchPool& pool) { work(pool); });
}

void SearchRun::work(SearchPool& pool) {
    Searcher searcher(problem_, pool);
    searcher.run();
    std::lock_guard lock(mutex_);
    const SearchDecisions& d = searcher.decisions;
    decisions_.unresolved += d.unresolved;
    decisions_.thickness = std::max(decisions_.thickness, d.thickness);
    decisions_.ties += d.ties;
    decisions_.regions += d.regions;
    decisions_.programmes += d.programmes;
    decisions_.pivots += d.pivots;
    decisions_.cells += d.cells;
    decisions_.rescued += d.rescued;
    RoundingWatch::merge(errors_, searcher.rounding.worst());
}

// Which pieces the bounds over the domain leave possible.
void SearchRun::plan(const std::vector<std::vector<double>>& lower, const std::vector<std::vector<double>>& upper) {
    SearchProblem& p = problem_;
    const Chain& net = *p.chain;
    for (size_t l = 0; l < net.stages.size(); ++l) {
        const Stage& s = *net.stages[l];
        StagePlan& plan = p.plans.emplace_back();
        plan.code.assign(net.packing.words, 0);
        if (s.kind == Stage::Kind::selection) continue;
        for (int i = 0; i < s.outputs; ++i) {
            int base = 0;
            const double floor = p.floors[l][i];
            for (int q = s.ptr[i]; q < s.ptr[i + 1]; ++q) {
                const double t = s.breaks[q];
                const int at = q + i;  // the piece below
                if (lower[l][i] - t > floor) {
                    ++base;
                } else if (upper[l][i] - t > -floor) {
                    plan.lines.push_back({i, t, s.slopes[at + 1] - s.slopes[at], s.offsets[at + 1] - s.offsets[at]});
                    plan.rows.push_back(i);
                    plan.levels.push_back(t);
                    plan.floors.push_back(floor);
                }
            }
            plan.base.push_back(base);
            add_piece(net, l, i, base, plan.code.data());
        }
    }
    for (size_t j = 0; j < p.split.thresholds.size(); ++j) {
        const double t = p.split.thresholds[j];
        p.outputs.lines.push_back({(int)j, t, 0, 0});
        p.outputs.rows.push_back((int)j);
        p.outputs.levels.push_back(t);
        p.outputs.floors.push_back(p.floors.back()[j] + std::abs(t) * 1e-15);
    }
}

}  // namespace pellucid
