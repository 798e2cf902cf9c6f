// What a search has found, in columns. Regions come in any order and are sorted by code in place at the end, so that
// nothing is held twice.
#pragma once
#include <algorithm>
#include <functional>
#include <iterator>

#include "output.hpp"

namespace pellucid {

struct SearchShape {
    int words = 0, outputs = 0, dim = 0;
    bool first = false, second = false, maps = true, rows = true;  // rows: false counts only
    bool near = false;                                             // distances and nearest points
    bool cuts = false;  // the halfspaces that a region was cut with, beyond the domain's

    int64_t row_bytes() const {
        if (!rows) return 0;
        return 8 * (words + dim + 1 + (maps ? outputs * (dim + 1) : 0) + (near ? dim + 1 : 0)) + 4 * (first + second);
    }
};

struct RegionRows {
    Column<uint64_t> codes;
    Column<double> points, clearance, coef, intercept, distance, feet;
    Column<int32_t> first, second;
    Column<int64_t> cut_span;  // of each region: the first of its rows in `cuts`, and how many
    Column<double> cuts;       // a, b of each, in u

    size_t count() const { return clearance.size; }
    template <class Use>
    void both(RegionRows& o, Use use) {
        use(codes, o.codes), use(points, o.points), use(clearance, o.clearance), use(coef, o.coef);
        use(intercept, o.intercept), use(first, o.first), use(second, o.second), use(distance, o.distance);
        use(feet, o.feet), use(cut_span, o.cut_span), use(cuts, o.cuts);
    }
    template <class Use>
    void each(Use use) {
        both(*this, [&](auto& column, auto&) { use(column); });
    }
    void clear() {
        each([](auto& column) { column.size = 0; });
    }
    bool has_seams() const { return false; }
    void cut(size_t k, const SearchShape& s) {
        codes.size = k * s.words;
        points.size = k * s.dim;
        clearance.size = k;
        coef.size = s.maps ? k * s.outputs * s.dim : 0;
        intercept.size = s.maps ? k * s.outputs : 0;
        first.size = s.first ? k : 0;
        second.size = s.second ? k : 0;
        distance.size = s.near ? k : 0;
        feet.size = s.near ? k * s.dim : 0;
        cut_span.size = s.cuts ? 2 * k : 0;
    }
    void append(const RegionRows& o, const SearchShape& s) {
        const int64_t before = (int64_t)cuts.size / (s.dim + 1);
        const size_t from = cut_span.size;
        cut_span.append(o.cut_span);
        for (size_t i = from; i < cut_span.size; i += 2) cut_span.data[i] += before;
        cuts.append(o.cuts);
        codes.append(o.codes);
        points.append(o.points);
        clearance.append(o.clearance);
        coef.append(o.coef);
        intercept.append(o.intercept);
        first.append(o.first);
        second.append(o.second);
        distance.append(o.distance);
        feet.append(o.feet);
    }
};

// Moves row order[i] to place i, along the cycles of the permutation.
template <class T>
void permute(Column<T>& column, size_t width, const std::vector<uint32_t>& order) {
    if (!column.size || !width) return;
    const size_t n = order.size();
    std::vector<bool> done(n);
    std::vector<T> hold(width);
    T* data = column.data;
    for (size_t i = 0; i < n; ++i) {
        if (done[i] || order[i] == i) continue;
        std::copy(data + i * width, data + (i + 1) * width, hold.begin());
        size_t at = i;
        for (;;) {
            done[at] = true;
            const size_t from = order[at];
            if (from == i) break;
            std::copy(data + from * width, data + (from + 1) * width, data + at * width);
            at = from;
        }
        std::copy(hold.begin(), hold.end(), data + at * width);
    }
}

// std::sort of parts, which are then merged.
template <class T, class Less>
void sort_in_parallel(int threads, std::vector<T>& v, Less less) {
    const size_t parts = v.size() < 4096 ? 1 : (size_t)std::max(1, threads);
    auto end = [&](size_t part) { return v.begin() + (ptrdiff_t)(v.size() * part / parts); };
    in_parallel(threads, parts, [&](size_t i) { std::sort(end(i), end(i + 1), less); });
    for (size_t width = 1; width < parts; width *= 2)
        in_parallel(threads, (parts + 2 * width - 1) / (2 * width), [&](size_t i) {
            const size_t from = 2 * width * i, middle = std::min(parts, from + width),
                         to = std::min(parts, from + 2 * width);
            std::inplace_merge(end(from), end(middle), end(to), less);
        });
}

class SearchOutput {
  public:
    using Rows = RegionRows;
    static constexpr bool keeps_parcels = false;

    struct Segment {
        explicit Segment(int64_t id_) : id(id_) {}
        const int64_t id;
        std::deque<Parcel<RegionRows>> parcels;
        RegionRows rows;
    };

    // Order matters only where a budget decides which regions are kept.
    SearchOutput(SearchShape shape, const Budget& budget)
        : shape_(shape), ordered_(shape.rows && (budget.max_rows != INT64_MAX || budget.max_bytes != INT64_MAX)) {}

    RegionRows result;
    int64_t rest_cells = 0;
    double rest_share = 0, rest_distance = INFINITY;
    const SearchShape& shape() const { return shape_; }
    bool is_ordered() const { return ordered_; }

    int64_t rows() const { return (int64_t)result.count(); }
    int64_t bytes() const { return rows() * shape_.row_bytes(); }
    int64_t rows(const RegionRows& r) const { return (int64_t)r.count(); }
    int64_t bytes(const RegionRows& r) const { return rows(r) * shape_.row_bytes(); }
    void begin(const Segment&) {}

    // Rows that do not fit become unexplored rest, but their share of the search is not known any more.
    void move(RegionRows& r, size_t leave) {
        rest_cells += (int64_t)leave;
        r.cut(r.count() - leave, shape_);
        result.append(r, shape_);
        r.clear();
    }
    void move(Parcel<RegionRows>&& parcel, size_t leave) { move(parcel.open(), leave); }

    size_t room(const RegionRows& r, const Budget& budget) const {
        int64_t fit = std::min(rows(r), budget.max_rows - rows());
        if (budget.max_bytes != INT64_MAX && shape_.row_bytes())
            fit = std::min(fit, budget.max_bytes / shape_.row_bytes() - rows());
        return (size_t)std::max<int64_t>(fit, 0);
    }

    template <class Task>
    void add_rest(const Task& task) {
        ++rest_cells;
        rest_share += task.share();
        rest_distance = std::min(rest_distance, task.distance());
    }
    bool has_rest() const { return rest_cells > 0; }

    // By code, then first, then second.
    void close(bool, int threads) {
        const size_t n = result.count(), words = (size_t)shape_.words;
        if (n >= UINT32_MAX) throw std::length_error("more than 2^32 regions in one table");
        if (!n) return;
        struct Key {
            uint64_t word;
            uint32_t row;
        };
        const uint64_t* codes = result.codes.data;
        std::vector<uint32_t> order(n);
        auto later = [&](uint32_t a, uint32_t b) {
            for (size_t w = 1; w < words; ++w) {
                const uint64_t p = codes[a * words + w], q = codes[b * words + w];
                if (p != q) return p < q;
            }
            if (shape_.first && result.first.data[a] != result.first.data[b])
                return result.first.data[a] < result.first.data[b];
            if (shape_.second && result.second.data[a] != result.second.data[b])
                return result.second.data[a] < result.second.data[b];
            return a < b;
        };
        {
            std::vector<Key> keys(n);
            for (size_t i = 0; i < n; ++i) keys[i] = {words ? codes[i * words] : 0, (uint32_t)i};
            sort_in_parallel(threads, keys, [&](const Key& a, const Key& b) {
                return a.word != b.word ? a.word < b.word : later(a.row, b.row);
            });
            for (size_t i = 0; i < n; ++i) order[i] = keys[i].row;
        }
        const std::function<void()> columns[] = {
            // the widest first
            [&] { permute(result.coef, (size_t)shape_.outputs * shape_.dim, order); },
            [&] { permute(result.points, (size_t)shape_.dim, order); },
            [&] { permute(result.codes, words, order); },
            [&] { permute(result.intercept, (size_t)shape_.outputs, order); },
            [&] { permute(result.clearance, 1, order); },
            [&] { permute(result.first, 1, order); },
            [&] { permute(result.second, 1, order); },
            [&] { permute(result.distance, 1, order); },
            [&] { permute(result.feet, (size_t)shape_.dim, order); },
            [&] { permute(result.cut_span, 2, order); },
        };
        in_parallel(n < 4096 ? 1 : threads, std::size(columns), [&](size_t i) { columns[i](); });
    }

  private:
    SearchShape shape_;
    bool ordered_;
};

}  // namespace pellucid
