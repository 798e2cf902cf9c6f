// What a search has found, in columns. Regions come in any order and are sorted by code in place at the end, so that
// nothing is held twice.
#pragma once
#include <algorithm>
#include <numeric>

#include "output.hpp"

namespace pellucid {

struct SearchShape {
    int words = 0, outputs = 0, dim = 0;
    bool first = false, second = false, maps = true, rows = true;  // rows: false counts only
    bool cuts = false;  // the halfspaces that a region was cut with, beyond the domain's

    int64_t row_bytes() const {
        if (!rows) return 0;
        return 8 * (words + dim + 1 + (maps ? outputs * (dim + 1) : 0)) + 4 * (first + second);
    }
};

struct RegionRows {
    Column<uint64_t> codes;
    Column<double> points, clearance, coef, intercept;
    Column<int32_t> first, second;
    Column<int64_t> cut_span;  // of each region: the first of its rows in `cuts`, and how many
    Column<double> cuts;       // a, b of each, in u

    size_t count() const { return clearance.size; }
    template <class Use>
    void each(Use use) {
        use(codes), use(points), use(clearance), use(coef), use(intercept), use(first), use(second);
        use(cut_span), use(cuts);
    }

    void clear() {
        each([](auto& column) { column.size = 0; });
    }
    void cut(size_t k, const SearchShape& s) {
        codes.size = k * s.words;
        points.size = k * s.dim;
        clearance.size = k;
        coef.size = s.maps ? k * s.outputs * s.dim : 0;
        intercept.size = s.maps ? k * s.outputs : 0;
        first.size = s.first ? k : 0;
        second.size = s.second ? k : 0;
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
    }
};

// Moves row order[i] to place i, along the cycles of the permutation; order is used up.
template <class T>
void permute(Column<T>& column, size_t width, const std::vector<uint32_t>& order, std::vector<bool>& done,
             std::vector<T>& hold) {
    if (!column.size || !width) return;
    const size_t n = order.size();
    std::fill(done.begin(), done.end(), false);
    hold.resize(width);
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

class SearchOutput {
  public:
    using Rows = RegionRows;

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
    double rest_share = 0;
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
    }
    bool has_rest() const { return rest_cells > 0; }

    // By code, then first, then second.
    void close(bool) {
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
            std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
                return a.word != b.word ? a.word < b.word : later(a.row, b.row);
            });
            for (size_t i = 0; i < n; ++i) order[i] = keys[i].row;
        }
        std::vector<bool> done(n);
        std::vector<uint64_t> word;
        std::vector<double> number;
        std::vector<int32_t> label;
        std::vector<int64_t> span;
        permute(result.codes, words, order, done, word);
        permute(result.points, shape_.dim, order, done, number);
        permute(result.clearance, 1, order, done, number);
        permute(result.coef, (size_t)shape_.outputs * shape_.dim, order, done, number);
        permute(result.intercept, shape_.outputs, order, done, number);
        permute(result.first, 1, order, done, label);
        permute(result.second, 1, order, done, label);
        permute(result.cut_span, 2, order, done, span);
    }

  private:
    SearchShape shape_;
    bool ordered_;
};

}  // namespace pellucid
