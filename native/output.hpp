// What a planar run has found, in columns, in the order of the depth-first walk, which is the order of the codes (see
// pool.hpp for how threads keep it).
#pragma once
#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "memory.hpp"
#include "parallel.hpp"
#include "polygon.hpp"
#include "pool.hpp"

namespace pellucid {

// Width of the columns of a run.
struct Shape {
    int words = 0, outputs = 0;
    bool first = false, second = false;
};

// Columns of regions on their way, with provisional seams.
struct PlanarRows {
    Column<uint64_t> codes;
    Column<int32_t> corners;  // vertices of each region
    Column<double> vertices;
    Column<Seam> edge_seam;
    Column<int32_t> seams;  // (column, lo, hi)
    Column<double> coef, intercept, area;
    Column<int32_t> first, second;

    size_t count() const { return area.size; }

    template <class Use>
    void both(PlanarRows& o, Use use) {
        use(codes, o.codes), use(corners, o.corners), use(vertices, o.vertices), use(edge_seam, o.edge_seam);
        use(seams, o.seams), use(coef, o.coef), use(intercept, o.intercept), use(area, o.area);
        use(first, o.first), use(second, o.second);
    }
    template <class Use>
    void each(Use use) {
        both(*this, [&](auto& column, auto&) { use(column); });
    }
    void clear() {
        each([](auto& column) { column.size = 0; });
    }
    bool has_seams() const { return seams.size > 0; }
};

// Memory of the final columns, with one seam for each row.
inline int64_t bytes_of(const Shape& shape, int64_t rows, int64_t corners) {
    return rows * (8 * shape.words + 8 + 12 + 24 * shape.outputs + 8 + 4 * (shape.first + shape.second)) + corners * 20;
}

struct Segment {
    explicit Segment(int64_t id_) : id(id_) {}

    const int64_t id;
    int64_t seam_count = 0;                  // made so far, moved or not: the next seam is the one of this number
    std::deque<Parcel<PlanarRows>> parcels;  // finished rows, before those of `rows`
    PlanarRows rows;

    Seam new_seam(int column, int lo, int hi) {
        int32_t* s = rows.seams.more(3);
        s[0] = column, s[1] = lo, s[2] = hi;
        return id << 32 | seam_count++;
    }
};

// The final columns, all in one block, and what was not explored.
struct PlanarResult {
    uint64_t* codes;
    int64_t* vertex_ptr;
    double *vertices, *coef, *intercept, *area;
    int32_t *edge_seam, *seams, *first, *second;
    size_t n_seams = 0;
    Block block;
    Column<int64_t> rest_ptr;
    Column<double> rest_vertices;
};

// From the kernel's coordinates v in [-1, 1]^2 to the caller's u = c + h v.
struct Frame {
    double c[2], h[2];

    double u(int axis, double v) const { return c[axis] + h[axis] * v; }
    double scale() const { return h[0] * h[1]; }
};

// What the pool needs of an output. Rows are kept as they come and copied once, at the end, when it is known how many
// there are.
class PlanarOutput {
  public:
    using Rows = PlanarRows;
    using Segment = pellucid::Segment;
    static constexpr bool keeps_parcels = true;

    PlanarOutput(Shape shape, Frame frame) : shape_(shape), frame_(frame) { result.rest_ptr.push(0); }

    PlanarResult result;
    const Shape& shape() const { return shape_; }
    bool is_ordered() const { return true; }

    int64_t rows() const { return (int64_t)rows_; }
    int64_t corners() const { return (int64_t)corners_; }
    int64_t bytes() const { return bytes_of(shape_, rows(), corners()); }
    int64_t rows(const Rows& r) const { return (int64_t)r.count(); }
    int64_t bytes(const Rows& r) const { return bytes_of(shape_, rows(r), (int64_t)r.edge_seam.size); }

    void begin(const Segment& s) {
        if ((size_t)s.id >= base_.size()) base_.resize((size_t)s.id + 1, 0);
        base_[(size_t)s.id] = (int64_t)seams_;
    }

    void move(Rows& r, size_t leave) { move(Parcel<Rows>(std::move(r)), leave); }
    void move(Parcel<Rows>&& parcel, size_t leave) {
        kept_.push_back({std::move(parcel), rows_, corners_, seams_, 0, 0});
        Kept& kept = kept_.back();
        const Rows& r = kept.parcel.open();
        kept.count = r.count() - leave;
        for (size_t i = 0; i < kept.count; ++i) kept.corners += r.corners.data[i];
        size_t at = kept.corners;
        for (size_t i = kept.count; i < r.count(); ++i) {
            const size_t n = (size_t)r.corners.data[i];
            std::memcpy(result.rest_vertices.more(2 * n), r.vertices.data + 2 * at, 2 * n * sizeof(double));
            end_rest();
            at += n;
        }
        rows_ += kept.count;
        corners_ += kept.corners;
        seams_ += r.seams.size / 3;
    }

    size_t room(const Rows& r, const Budget& budget) const {
        const size_t fit = (size_t)std::min<int64_t>(rows(r), budget.max_rows - rows());
        if (budget.max_bytes == INT64_MAX) return fit;
        int64_t all = corners();
        for (size_t i = 0; i < fit; ++i) {
            if (bytes_of(shape_, rows() + (int64_t)i, all) >= budget.max_bytes) return i;
            all += r.corners.data[i];
        }
        return fit;
    }

    template <class Task>
    void add_rest(const Task& task) {
        const Polygon& p = task.cell;
        double* v = result.rest_vertices.more(2 * (size_t)p.n);
        for (int i = 0; i < p.n; ++i) v[2 * i] = frame_.u(0, p.x[i]), v[2 * i + 1] = frame_.u(1, p.y[i]);
        end_rest();
    }
    bool has_rest() const { return result.rest_ptr.size > 1; }

    void close(bool complete, int threads) {
        const size_t c = (size_t)shape_.outputs;
        result.block = lay_out([&](auto place) {
            place(result.codes, rows_ * shape_.words);
            place(result.vertices, 2 * corners_);
            place(result.edge_seam, corners_);
            place(result.coef, 2 * c * rows_);
            place(result.intercept, c * rows_);
            place(result.seams, 3 * seams_);
            place(result.vertex_ptr, rows_ + 1);
            place(result.area, rows_);
            place(result.first, shape_.first ? rows_ : 0);
            place(result.second, shape_.second ? rows_ : 0);
        });
        result.vertex_ptr[0] = 0;
        in_parallel(result.block.size() > Block::LARGE ? threads : 1, kept_.size(), [this](size_t i) {
            copy(kept_[i]);
            kept_[i].parcel.release();
        });
        kept_.clear();
        result.n_seams = seams_;
        if (complete) return;
        // After a stop there are seams of rows that were not kept; how many depends on the threads.
        int32_t last = -1;
        for (size_t i = 0; i < corners_; ++i) last = std::max(last, result.edge_seam[i]);
        result.n_seams = (size_t)(last + 1);
    }

  private:
    struct Kept {
        Parcel<Rows> parcel;
        size_t row, corner, seam;  // where they go
        size_t count, corners;     // how many of them are wanted
    };

    Shape shape_;
    Frame frame_;
    std::vector<int64_t> base_{0};  // the number of the first seam of each segment that has come to the front
    std::deque<Kept> kept_;
    size_t rows_ = 0, corners_ = 0, seams_ = 0;

    void end_rest() { result.rest_ptr.push((int64_t)(result.rest_vertices.size / 2)); }

    void copy(Kept& kept) {
        const Rows& r = kept.parcel.open();
        const size_t k = kept.count, c = (size_t)shape_.outputs;
        put(result.codes, kept.row * shape_.words, r.codes, k * shape_.words);
        put(result.vertices, 2 * kept.corner, r.vertices, 2 * kept.corners);
        put(result.seams, 3 * kept.seam, r.seams, r.seams.size);
        put(result.coef, 2 * c * kept.row, r.coef, 2 * c * k);
        put(result.intercept, c * kept.row, r.intercept, c * k);
        put(result.area, kept.row, r.area, k);
        put(result.first, kept.row, r.first, shape_.first ? k : 0);
        put(result.second, kept.row, r.second, shape_.second ? k : 0);
        int64_t end = (int64_t)kept.corner, *ptr = result.vertex_ptr + kept.row + 1;
        for (size_t i = 0; i < k; ++i) ptr[i] = end += r.corners.data[i];
        int32_t* seam = result.edge_seam + kept.corner;
        for (size_t i = 0; i < kept.corners; ++i) {
            const Seam s = r.edge_seam.data[i];
            seam[i] = s < 0 ? (int32_t)s : (int32_t)(base_[(size_t)(s >> 32)] + (s & 0xffffffff));
        }
    }
};

}  // namespace pellucid
