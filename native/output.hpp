// What a planar run has found, in columns, in the order of the depth-first walk, which is the order of the codes (see
// pool.hpp for how threads keep it).
#pragma once
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#include "polygon.hpp"
#include "pool.hpp"

namespace pellucid {

// A growing column handed to numpy without a copy. realloc moves large blocks by their pages, so growth does not double
// the memory.
template <class T>
struct Column {
    T* data = nullptr;
    size_t size = 0, capacity = 0;

    Column() = default;
    Column(Column&& o) noexcept { swap(o); }
    Column& operator=(Column&& o) noexcept {
        swap(o);
        return *this;
    }
    Column(const Column&) = delete;
    Column& operator=(const Column&) = delete;
    ~Column() { std::free(data); }

    void swap(Column& o) noexcept {
        std::swap(data, o.data);
        std::swap(size, o.size);
        std::swap(capacity, o.capacity);
    }
    T* more(size_t n) {  // room for n more values, counted as written
        if (size + n > capacity) resize_block(size + n + (size + n) / 2 + 64);
        size += n;
        return data + size - n;
    }
    void push(T value) { *more(1) = value; }
    void append(const Column& o) {
        if (o.size) std::memcpy(more(o.size), o.data, o.size * sizeof(T));
    }
    void shrink() {
        if (capacity > size + size / 16 + 64) resize_block(size ? size : 1);
    }
    size_t bytes() const { return size * sizeof(T); }

  private:
    void resize_block(size_t n) {
        T* block = static_cast<T*>(std::realloc(data, n * sizeof(T)));
        if (!block) throw std::bad_alloc();
        data = block;
        capacity = n;
    }
};

// Width of the columns of a run.
struct Shape {
    int words = 0, outputs = 0;
    bool first = false, second = false;
};

// Columns of regions. Id is the type of a seam: provisional (Seam) in a segment, int32 in the final columns.
template <class Id>
struct Rows {
    Column<uint64_t> codes;
    Column<int32_t> corners;  // vertices of each region
    Column<double> vertices;
    Column<Id> edge_seam;
    Column<int32_t> seams;  // (column, lo, hi)
    Column<double> coef, intercept, area;
    Column<int32_t> first, second;

    size_t count() const { return area.size; }

    template <class Use>
    void each(Use use) {
        use(codes), use(corners), use(vertices), use(edge_seam), use(seams);
        use(coef), use(intercept), use(area), use(first), use(second);
    }
    void clear() {
        codes.size = corners.size = vertices.size = edge_seam.size = seams.size = 0;
        coef.size = intercept.size = area.size = first.size = second.size = 0;
    }
};

// Memory of the final columns, with one seam for each row.
inline int64_t bytes_of(const Shape& shape, int64_t rows, int64_t corners) {
    return rows * (8 * shape.words + 8 + 12 + 24 * shape.outputs + 8 + 4 * (shape.first + shape.second)) + corners * 20;
}

// Rows that wait for their turn, packed in pages of their own: those go back to the system as soon as the rows have
// moved, so that waiting rows and final columns together take no more than the result.
template <class R>
class Parcel {
  public:
    explicit Parcel(R& rows) {
        rows.each([&](auto& column) { size_ += padded(column.bytes()); });
        allocate();
        size_t at = 0;
        rows.each([&](auto& column) {
            if (column.size) std::memcpy(block_ + at, column.data, column.bytes());
            at += padded(column.bytes());
            counts_[column_++] = column.size;
        });
        rows.clear();
    }
    Parcel(const Parcel&) = delete;
    Parcel& operator=(const Parcel&) = delete;
    ~Parcel() {
        view_.each([](auto& column) { column.data = nullptr; });
        release();
    }

    // The rows, to be read only.
    R& open() {
        size_t at = 0;
        column_ = 0;
        view_.each([&](auto& column) {
            using T = std::remove_reference_t<decltype(*column.data)>;
            column.data = reinterpret_cast<T*>(block_ + at);
            column.size = counts_[column_++];
            at += padded(column.bytes());
        });
        return view_;
    }

  private:
    char* block_ = nullptr;
    size_t size_ = 0, counts_[16] = {};
    int column_ = 0;
    R view_;

    static size_t padded(size_t bytes) { return (bytes + 63) / 64 * 64; }

#if defined(__unix__) || defined(__APPLE__)
    void allocate() {
        size_ += 64;
        void* block = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        if (block == MAP_FAILED) throw std::bad_alloc();
        block_ = static_cast<char*>(block);
    }
    void release() { munmap(block_, size_); }
#else
    void allocate() {
        block_ = static_cast<char*>(std::malloc(size_ + 64));
        if (!block_) throw std::bad_alloc();
    }
    void release() { std::free(block_); }
#endif
};

struct Segment {
    explicit Segment(int64_t id_) : id(id_) {}

    const int64_t id;
    int64_t seam_count = 0;  // made so far, moved or not: the next seam is the one of this number
    std::deque<Parcel<pellucid::Rows<Seam>>> parcels;  // finished rows, before those of `rows`
    Rows<Seam> rows;

    Seam new_seam(int column, int lo, int hi) {
        int32_t* s = rows.seams.more(3);
        s[0] = column, s[1] = lo, s[2] = hi;
        return id << 32 | seam_count++;
    }
};

// The final columns.
struct Result : Rows<int32_t> {
    Column<int64_t> vertex_ptr;
    Column<int64_t> rest_ptr;
    Column<double> rest_vertices;
    int64_t rows = 0;
};

// From the kernel's coordinates v in [-1, 1]^2 to the caller's u = c + h v.
struct Frame {
    double c[2], h[2];

    double u(int axis, double v) const { return c[axis] + h[axis] * v; }
    double scale() const { return h[0] * h[1]; }
};

// A cell that was not explored.
inline void add_rest(Result& result, const Frame& frame, const Polygon& p) {
    if (!result.rest_ptr.size) result.rest_ptr.push(0);
    double* v = result.rest_vertices.more(2 * (size_t)p.n);
    for (int i = 0; i < p.n; ++i) {
        v[2 * i] = frame.u(0, p.x[i]);
        v[2 * i + 1] = frame.u(1, p.y[i]);
    }
    result.rest_ptr.push((int64_t)(result.rest_vertices.size / 2));
}

// Moves the first rows (all but `leave`) behind those of the result and turns provisional seams into final
// ones: base[s] is the number of the first seam of segment s. What is left out becomes unexplored rest.
inline void move_rows(Result& to, Rows<Seam>& r, const std::vector<int64_t>& base, const Shape& shape, size_t leave) {
    const size_t k = r.count() - leave;
    size_t corners = 0;
    if (!to.vertex_ptr.size) to.vertex_ptr.push(0);
    int64_t end = to.vertex_ptr.data[to.vertex_ptr.size - 1];
    int64_t* ptr = to.vertex_ptr.more(k);
    for (size_t i = 0; i < k; ++i) corners += r.corners.data[i], ptr[i] = end += r.corners.data[i];
    const size_t all = r.edge_seam.size;

    if (leave && !to.rest_ptr.size) to.rest_ptr.push(0);
    size_t at = corners;
    for (size_t i = k; i < r.count(); ++i) {
        std::memcpy(to.rest_vertices.more(2 * (size_t)r.corners.data[i]), r.vertices.data + 2 * at,
                    2 * sizeof(double) * r.corners.data[i]);
        to.rest_ptr.push((int64_t)(to.rest_vertices.size / 2));
        at += r.corners.data[i];
    }

    r.codes.size = k * shape.words;
    r.vertices.size = 2 * corners;
    r.coef.size = 2 * k * shape.outputs;
    r.intercept.size = k * shape.outputs;
    r.area.size = k;
    if (shape.first) r.first.size = k;
    if (shape.second) r.second.size = k;
    to.codes.append(r.codes);
    to.vertices.append(r.vertices);
    to.seams.append(r.seams);
    to.coef.append(r.coef);
    to.intercept.append(r.intercept);
    to.area.append(r.area);
    to.first.append(r.first);
    to.second.append(r.second);
    int32_t* seam = to.edge_seam.more(corners);
    for (size_t i = 0; i < corners && i < all; ++i) {
        const Seam s = r.edge_seam.data[i];
        seam[i] = s < 0 ? (int32_t)s : (int32_t)(base[s >> 32] + (s & 0xffffffff));
    }
    to.rows += (int64_t)k;
    r.clear();
}

// What the pool needs of an output.
class PlanarOutput {
  public:
    using Rows = pellucid::Rows<Seam>;
    using Segment = pellucid::Segment;

    PlanarOutput(Shape shape, Frame frame) : shape_(shape), frame_(frame) {}

    Result result;
    const Shape& shape() const { return shape_; }
    bool is_ordered() const { return true; }

    int64_t rows() const { return result.rows; }
    int64_t bytes() const { return bytes_of(shape_, result.rows, (int64_t)result.edge_seam.size); }
    int64_t rows(const Rows& r) const { return (int64_t)r.count(); }
    int64_t bytes(const Rows& r) const { return bytes_of(shape_, rows(r), (int64_t)r.edge_seam.size); }

    void begin(const Segment& s) {
        if ((size_t)s.id >= base_.size()) base_.resize((size_t)s.id + 1, 0);
        base_[(size_t)s.id] = (int64_t)(result.seams.size / 3);
    }
    void move(Rows& r, size_t leave) { move_rows(result, r, base_, shape_, leave); }

    size_t room(const Rows& r, const Budget& budget) const {
        const size_t fit = (size_t)std::min<int64_t>(rows(r), budget.max_rows - result.rows);
        if (budget.max_bytes == INT64_MAX) return fit;
        int64_t corners = (int64_t)result.edge_seam.size;
        for (size_t i = 0; i < fit; ++i) {
            if (bytes_of(shape_, result.rows + (int64_t)i, corners) >= budget.max_bytes) return i;
            corners += r.corners.data[i];
        }
        return fit;
    }

    template <class Task>
    void add_rest(const Task& task) {
        pellucid::add_rest(result, frame_, task.cell);
    }
    bool has_rest() const { return result.rest_ptr.size > 1; }

    // After a stop there are seams of rows that were not kept; how many depends on the threads.
    void close(bool complete) {
        if (complete) return;
        int32_t last = -1;
        for (size_t i = 0; i < result.edge_seam.size; ++i) last = std::max(last, result.edge_seam.data[i]);
        result.seams.size = 3 * (size_t)(last + 1);
    }

  private:
    Shape shape_;
    Frame frame_;
    std::vector<int64_t> base_{0};  // the number of the first seam of each segment that has come to the front
};

}  // namespace pellucid
