// What a run of the vertex engine has found, in columns, in the order of the depth-first walk, which is the order of
// the codes (see pool.hpp for how threads keep it).
#pragma once
#include <cstring>

#include "output.hpp"
#include "polytope.hpp"
#include "pool.hpp"

namespace pellucid {

// Width of the columns of a run, and which of them are kept.
struct VertexShape {
    int words = 0, outputs = 0, dim = 0;
    bool first = false, second = false, maps = true, volumes = true, facets = false, vertices = false;

    int64_t row_bytes() const {  // with one seam for each row
        return 12 * facets + 8 * (words + dim + (maps ? outputs * (dim + 1) : 0) + volumes + facets + vertices) +
               4 * (first + second);
    }
    int64_t facet_bytes() const { return facets ? 4 + 1 + 8 * (dim + 1) : 0; }
    int64_t vertex_bytes() const { return vertices ? 8 * dim : 0; }
};

// Columns of regions on their way, with provisional names of facets.
struct VertexRows {
    Column<uint64_t> codes;
    Column<double> points, coef, intercept, volume;
    Column<int32_t> first, second;
    Column<int32_t> corners, sides;  // vertices and facets of each region
    Column<double> vertices;
    Column<Label> facet;
    Column<double> facet_A, facet_b;
    Column<int32_t> seams;  // (column, lo, hi)

    template <class Use>
    void both(VertexRows& o, Use use) {
        use(codes, o.codes), use(points, o.points), use(coef, o.coef), use(intercept, o.intercept);
        use(volume, o.volume), use(first, o.first), use(second, o.second), use(corners, o.corners);
        use(sides, o.sides), use(vertices, o.vertices), use(facet, o.facet), use(facet_A, o.facet_A);
        use(facet_b, o.facet_b), use(seams, o.seams);
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

// From the kernel's coordinates v in [-1, 1]^d to the caller's u = c + h v.
struct BoxFrame {
    std::vector<double> c, h;

    double u(int axis, double v) const { return c[axis] + h[axis] * v; }
    double scale() const {
        double s = 1;
        for (double x : h) s *= x;
        return s;
    }
};

class VertexOutput {
  public:
    using Rows = VertexRows;
    static constexpr bool keeps_parcels = true;

    struct Segment {
        explicit Segment(int64_t id_) : id(id_) {}

        const int64_t id;
        int64_t seam_count = 0;            // made so far, moved or not
        std::deque<Parcel<Rows>> parcels;  // finished rows, before those of `rows`
        Rows rows;

        Seam new_seam(int column, int lo, int hi) {
            int32_t* s = rows.seams.more(3);
            s[0] = column, s[1] = lo, s[2] = hi;
            return id << 32 | seam_count++;
        }
    };

    // The final columns, all in one block, and what was not explored.
    struct Final {
        uint64_t* codes;
        double *points, *coef, *intercept, *volume, *vertices, *facet_A, *facet_b;
        int32_t *first, *second, *facet, *seams;
        int64_t *vertex_ptr, *facet_ptr;
        uint8_t* facet_side;
        size_t n_vertices = 0, n_facets = 0, n_seams = 0;
        Block block;
        Column<int64_t> rest_ptr;
        Column<double> rest_vertices;
    };

    // Rows that a budget may throw away keep their vertices until then: they are needed for the rest.
    VertexOutput(VertexShape shape, BoxFrame frame, const Budget& budget)
        : shape_(shape),
          frame_(std::move(frame)),
          keeps_vertices_(shape.vertices || budget.max_rows != INT64_MAX || budget.max_bytes != INT64_MAX) {
        result.rest_ptr.push(0);
    }

    Final result;
    const VertexShape& shape() const { return shape_; }
    const BoxFrame& frame() const { return frame_; }
    bool keeps_vertices() const { return keeps_vertices_; }
    bool is_ordered() const { return true; }

    int64_t rows() const { return (int64_t)rows_; }
    int64_t bytes() const {
        return bytes_of(rows(), (int64_t)result.n_facets, shape_.vertices ? (int64_t)result.n_vertices : 0);
    }
    int64_t rows(const Rows& r) const { return (int64_t)(r.points.size / shape_.dim); }
    int64_t bytes(const Rows& r) const {
        return bytes_of(rows(r), (int64_t)r.facet.size, (int64_t)(r.vertices.size / shape_.dim));
    }

    void begin(const Segment& s) {
        if ((size_t)s.id >= base_.size()) base_.resize((size_t)s.id + 1, 0);
        base_[(size_t)s.id] = (int64_t)result.n_seams;
    }

    void move(Rows& r, size_t leave) { move(Parcel<Rows>(std::move(r)), leave); }
    void move(Parcel<Rows>&& parcel, size_t leave) {
        kept_.push_back({std::move(parcel), rows_, result.n_vertices, result.n_facets, result.n_seams, 0, 0, 0});
        Kept& kept = kept_.back();
        const Rows& r = kept.parcel.open();
        const size_t seams = r.seams.size / 3;
        const size_t all = (size_t)rows(r);
        kept.count = all - leave;
        if (keeps_vertices_) {
            for (size_t i = 0; i < kept.count; ++i) kept.vertices += (size_t)r.corners.data[i];
            size_t at = kept.vertices;
            for (size_t i = kept.count; i < all; ++i)
                at += add_rest(r.vertices.data + at * shape_.dim, r.corners.data[i]);
        }
        if (shape_.facets)
            for (size_t i = 0; i < kept.count; ++i) kept.facets += (size_t)r.sides.data[i];
        if (keeps_vertices_ && !shape_.vertices) slim(kept);
        rows_ += kept.count;
        result.n_vertices += kept.vertices;
        result.n_facets += kept.facets;
        result.n_seams += seams;
    }

    size_t room(const Rows& r, const Budget& budget) const {
        const int64_t fit = std::max<int64_t>(0, std::min(rows(r), budget.max_rows - rows()));
        if (budget.max_bytes == INT64_MAX) return (size_t)fit;
        int64_t used = bytes();
        for (int64_t i = 0; i < fit; ++i) {
            if (used >= budget.max_bytes) return (size_t)i;
            used += bytes_of(1, shape_.facets ? r.sides.data[i] : 0, r.corners.data[i]);
        }
        return (size_t)fit;
    }

    template <class Task>
    void add_rest(const Task& task) {
        const Polytope& p = task.cell;
        double* v = result.rest_vertices.more((size_t)p.n * p.d);
        for (int i = 0; i < p.n; ++i)
            for (int a = 0; a < p.d; ++a) *v++ = frame_.u(a, p.at(i, a));
        end_rest();
    }
    bool has_rest() const { return result.rest_ptr.size > 1; }

    void close(bool complete, int threads) {
        const size_t k = rows_, c = (size_t)shape_.outputs, d = (size_t)shape_.dim;
        const size_t corners = shape_.vertices ? result.n_vertices : 0, facets = result.n_facets;
        result.block = lay_out([&](auto place) {
            place(result.vertices, corners * d);
            place(result.facet_A, facets * d);
            place(result.facet_b, facets);
            place(result.facet, facets);
            place(result.codes, k * shape_.words);
            place(result.points, k * d);
            place(result.coef, shape_.maps ? k * c * d : 0);
            place(result.facet_side, facets);
            place(result.seams, 3 * result.n_seams);
            place(result.intercept, shape_.maps ? k * c : 0);
            place(result.volume, shape_.volumes ? k : 0);
            place(result.vertex_ptr, shape_.vertices ? k + 1 : 1);
            place(result.facet_ptr, shape_.facets ? k + 1 : 1);
            place(result.first, shape_.first ? k : 0);
            place(result.second, shape_.second ? k : 0);
        });
        result.vertex_ptr[0] = result.facet_ptr[0] = 0;
        in_parallel(result.block.size() > Block::LARGE ? threads : 1, kept_.size(), [this](size_t i) {
            copy(kept_[i]);
            kept_[i].parcel.release();
        });
        kept_.clear();
        if (complete) return;
        // After a stop there are seams of rows that were not kept; how many depends on the threads.
        int32_t last = -1;
        for (size_t i = 0; i < facets; ++i) last = std::max(last, result.facet[i]);
        result.n_seams = (size_t)(last + 1);
    }

  private:
    struct Kept {
        Parcel<Rows> parcel;
        size_t row, vertex, facet, seam;  // where they go
        size_t count, vertices, facets;   // how many of them are wanted
    };

    VertexShape shape_;
    BoxFrame frame_;
    bool keeps_vertices_;
    size_t rows_ = 0;
    std::vector<int64_t> base_{0};  // the number of the first seam of each segment that has come to the front
    std::deque<Kept> kept_;
    Slabs slabs_;

    // Without the vertices: the row is not thrown away any more.
    void slim(Kept& kept) {
        Rows& r = kept.parcel.open();
        r.vertices.size = r.corners.size = 0;
        kept.parcel = Parcel<Rows>(r, slabs_);
        kept.vertices = 0;
    }

    int64_t bytes_of(int64_t rows, int64_t facets, int64_t vertices) const {
        return rows * shape_.row_bytes() + facets * shape_.facet_bytes() + vertices * shape_.vertex_bytes();
    }

    void end_rest() { result.rest_ptr.push((int64_t)(result.rest_vertices.size / shape_.dim)); }

    size_t add_rest(const double* vertices, int32_t n) {
        const size_t size = (size_t)n * shape_.dim;
        std::memcpy(result.rest_vertices.more(size), vertices, size * sizeof(double));
        end_rest();
        return (size_t)n;
    }

    void copy(Kept& kept) {
        const Rows& r = kept.parcel.open();
        const size_t k = kept.count, c = (size_t)shape_.outputs, d = (size_t)shape_.dim;
        put(result.codes, kept.row * shape_.words, r.codes, k * shape_.words);
        put(result.points, kept.row * d, r.points, k * d);
        put(result.coef, kept.row * c * d, r.coef, shape_.maps ? k * c * d : 0);
        put(result.intercept, kept.row * c, r.intercept, shape_.maps ? k * c : 0);
        put(result.volume, kept.row, r.volume, shape_.volumes ? k : 0);
        put(result.first, kept.row, r.first, shape_.first ? k : 0);
        put(result.second, kept.row, r.second, shape_.second ? k : 0);
        put(result.seams, 3 * kept.seam, r.seams, r.seams.size);
        if (shape_.vertices) {
            put(result.vertices, kept.vertex * d, r.vertices, kept.vertices * d);
            count_up(result.vertex_ptr + kept.row + 1, kept.vertex, r.corners, k);
        }
        if (shape_.facets) copy_facets(kept, r);
    }

    static void count_up(int64_t* ptr, size_t start, const Column<int32_t>& counts, size_t n) {
        int64_t end = (int64_t)start;
        for (size_t i = 0; i < n; ++i) ptr[i] = end += counts.data[i];
    }

    void copy_facets(const Kept& kept, const Rows& r) {
        const size_t d = (size_t)shape_.dim;
        count_up(result.facet_ptr + kept.row + 1, kept.facet, r.sides, kept.count);
        put(result.facet_A, kept.facet * d, r.facet_A, kept.facets * d);
        put(result.facet_b, kept.facet, r.facet_b, kept.facets);
        int32_t* name = result.facet + kept.facet;
        uint8_t* side = result.facet_side + kept.facet;
        for (size_t i = 0; i < kept.facets; ++i) {
            const Label label = r.facet.data[i];
            const Seam seam = label >> 1;
            side[i] = label < 0 ? 0 : (uint8_t)(label & 1);
            name[i] = label < 0 ? (int32_t)label : (int32_t)(base_[(size_t)(seam >> 32)] + (seam & 0xffffffff));
        }
    }
};

}  // namespace pellucid
