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

// Id is the type of a facet's name: provisional (Label) in a segment, int32 in the final columns.
template <class Id>
struct VertexRows {
    Column<uint64_t> codes;
    Column<double> points, coef, intercept, volume;
    Column<int32_t> first, second;
    Column<int32_t> corners, sides;  // vertices and facets of each region
    Column<double> vertices;
    Column<Id> facet;
    Column<double> facet_A, facet_b;
    Column<int32_t> seams;  // (column, lo, hi)

    template <class Use>
    void each(Use use) {
        use(codes), use(points), use(coef), use(intercept), use(volume), use(first), use(second);
        use(corners), use(sides), use(vertices), use(facet), use(facet_A), use(facet_b), use(seams);
    }
    void clear() {
        each([](auto& column) { column.size = 0; });
    }
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
    using Rows = VertexRows<Label>;

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

    struct Final : VertexRows<int32_t> {
        Column<int64_t> vertex_ptr, facet_ptr, rest_ptr;
        Column<uint8_t> facet_side;
        Column<double> rest_vertices;
    };

    // Rows that a budget may throw away keep their vertices until then: they are needed for the rest.
    VertexOutput(VertexShape shape, BoxFrame frame, const Budget& budget)
        : shape_(shape),
          frame_(std::move(frame)),
          keeps_vertices_(shape.vertices || budget.max_rows != INT64_MAX || budget.max_bytes != INT64_MAX) {
        result.vertex_ptr.push(0);
        result.facet_ptr.push(0);
        result.rest_ptr.push(0);
    }

    Final result;
    const VertexShape& shape() const { return shape_; }
    const BoxFrame& frame() const { return frame_; }
    bool keeps_vertices() const { return keeps_vertices_; }
    bool is_ordered() const { return true; }

    int64_t rows() const { return rows_; }
    int64_t bytes() const {
        return bytes_of(rows_, (int64_t)result.facet.size, (int64_t)(result.vertices.size / shape_.dim));
    }
    int64_t rows(const Rows& r) const { return (int64_t)(r.points.size / shape_.dim); }
    int64_t bytes(const Rows& r) const {
        return bytes_of(rows(r), (int64_t)r.facet.size, (int64_t)(r.vertices.size / shape_.dim));
    }

    void begin(const Segment& s) {
        if ((size_t)s.id >= base_.size()) base_.resize((size_t)s.id + 1, 0);
        base_[(size_t)s.id] = (int64_t)(result.seams.size / 3);
    }

    // Moves the first rows (all but `leave`) behind those of the result and turns provisional names into final ones.
    // What is left out becomes unexplored rest.
    void move(Rows& r, size_t leave) {
        const int64_t all = rows(r), k = all - (int64_t)leave;
        if (keeps_vertices_) move_vertices(r, k, all);
        if (shape_.facets) move_facets(r, k);
        take(result.codes, r.codes, k * shape_.words);
        take(result.points, r.points, k * shape_.dim);
        take(result.coef, r.coef, shape_.maps ? k * shape_.outputs * shape_.dim : 0);
        take(result.intercept, r.intercept, shape_.maps ? k * shape_.outputs : 0);
        take(result.volume, r.volume, shape_.volumes ? k : 0);
        take(result.first, r.first, shape_.first ? k : 0);
        take(result.second, r.second, shape_.second ? k : 0);
        take(result.seams, r.seams, (int64_t)r.seams.size);
        rows_ += k;
        r.clear();
    }

    size_t room(const Rows& r, const Budget& budget) const {
        const int64_t fit = std::max<int64_t>(0, std::min(rows(r), budget.max_rows - rows_));
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

    // After a stop there are seams of rows that were not kept; how many depends on the threads.
    void close(bool complete) {
        if (complete) return;
        int32_t last = -1;
        for (size_t i = 0; i < result.facet.size; ++i) last = std::max(last, result.facet.data[i]);
        result.seams.size = 3 * (size_t)(last + 1);
    }

  private:
    VertexShape shape_;
    BoxFrame frame_;
    bool keeps_vertices_;
    int64_t rows_ = 0;
    std::vector<int64_t> base_{0};  // the number of the first seam of each segment that has come to the front

    int64_t bytes_of(int64_t rows, int64_t facets, int64_t vertices) const {
        return rows * shape_.row_bytes() + facets * shape_.facet_bytes() + vertices * shape_.vertex_bytes();
    }

    template <class T>
    static void take(Column<T>& to, Column<T>& from, int64_t n) {
        from.size = (size_t)n;
        to.append(from);
    }

    void end_rest() { result.rest_ptr.push((int64_t)(result.rest_vertices.size / shape_.dim)); }

    void move_vertices(Rows& r, int64_t kept, int64_t all) {
        const size_t d = (size_t)shape_.dim;
        size_t at = 0;
        for (int64_t i = 0; i < kept; ++i) at += r.corners.data[i];
        if (shape_.vertices) {
            int64_t end = result.vertex_ptr.data[result.vertex_ptr.size - 1];
            for (int64_t i = 0; i < kept; ++i) result.vertex_ptr.push(end += r.corners.data[i]);
            std::memcpy(result.vertices.more(at * d), r.vertices.data, at * d * sizeof(double));
        }
        for (int64_t i = kept; i < all; ++i) {
            const size_t n = r.corners.data[i];
            std::memcpy(result.rest_vertices.more(n * d), r.vertices.data + at * d, n * d * sizeof(double));
            end_rest();
            at += n;
        }
    }

    void move_facets(Rows& r, int64_t kept) {
        int64_t end = result.facet_ptr.data[result.facet_ptr.size - 1], facets = 0;
        for (int64_t i = 0; i < kept; ++i) {
            facets += r.sides.data[i];
            result.facet_ptr.push(end + facets);
        }
        int32_t* name = result.facet.more((size_t)facets);
        uint8_t* side = result.facet_side.more((size_t)facets);
        for (int64_t i = 0; i < facets; ++i) {
            const Label label = r.facet.data[i];
            const Seam seam = label >> 1;
            side[i] = label < 0 ? 0 : (uint8_t)(label & 1);
            name[i] = label < 0 ? (int32_t)label : (int32_t)(base_[(size_t)(seam >> 32)] + (seam & 0xffffffff));
        }
        take(result.facet_A, r.facet_A, facets * shape_.dim);
        take(result.facet_b, r.facet_b, facets);
    }
};

}  // namespace pellucid
