// Convex polygons whose edges know which cut made them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>

namespace pellucid {

// A growing array of plain values whose contents need not survive growth; never shrinks, so that reuse costs nothing.
template <class T>
struct Buffer {
    std::unique_ptr<T[]> data;
    size_t capacity = 0;

    T* need(size_t n) {
        if (n > capacity) {
            capacity = n + n / 2 + 16;
            data.reset(new T[capacity]);
        }
        return data.get();
    }
    T* keep(size_t n) {  // as need(), but keeps what is there
        if (n > capacity) {
            const size_t old = capacity;
            std::unique_ptr<T[]> before = std::move(data);
            capacity = n + n / 2 + 16;
            data.reset(new T[capacity]);
            if (old) std::memcpy(data.get(), before.get(), old * sizeof(T));
        }
        return data.get();
    }
    operator T*() const { return data.get(); }
    T& operator[](size_t i) const { return data[i]; }
};

// A seam is the segment along which a cell was cut. While a run is going on it has a provisional name, the segment of
// the output that it was made in and its number there (see output.hpp); faces of the input polygon are -1 - f.
using Seam = int64_t;

// Counter-clockwise; edge i goes from vertex i to the next one.
struct Polygon {
    int n = 0;
    Buffer<double> x, y;
    Buffer<Seam> seam;

    void clear() { n = 0; }
    void reserve(int m) {
        x.keep(m);
        y.keep(m);
        seam.keep(m);
    }
    void add(double px, double py, Seam s) {  // room must have been reserved
        x[n] = px;
        y[n] = py;
        seam[n++] = s;
    }
    void copy(const Polygon& p) {
        reserve(p.n);
        n = p.n;
        std::memcpy(x, p.x, n * sizeof(double));
        std::memcpy(y, p.y, n * sizeof(double));
        std::memcpy(seam, p.seam, n * sizeof(Seam));
    }
};

// Shoelace about the first vertex, which keeps small cells accurate wherever they lie.
inline double area(const Polygon& p) {
    double twice = 0;
    for (int i = 1; i + 1 < p.n; ++i)
        twice += (p.x[i] - p.x[0]) * (p.y[i + 1] - p.y[0]) - (p.x[i + 1] - p.x[0]) * (p.y[i] - p.y[0]);
    return twice / 2;
}

// No two points of the polygon are farther apart.
inline double extent(const Polygon& p) {
    double x0 = p.x[0], x1 = x0, y0 = p.y[0], y1 = y0;
    for (int i = 1; i < p.n; ++i) {
        x0 = std::min(x0, p.x[i]), x1 = std::max(x1, p.x[i]);
        y0 = std::min(y0, p.y[i]), y1 = std::max(y1, p.y[i]);
    }
    return std::hypot(x1 - x0, y1 - y0);
}

// Where a line leaves (or enters) a ring of signed values: at vertex `at`, or between `at` and the next one when
// `between`.
struct Cut {
    int at;
    bool between;
};

// Walks from vertex `from`, where z > tol, in direction step (+1 or -1) to the first vertex with z < -tol. Vertices
// within tol on the way are on the line; the one nearest to it becomes the cut, so that a run of them gives one cut and
// neither side gets a sliver. Needs a vertex with z < -tol.
inline Cut find_cut(const double* z, int n, double tol, int from, int step, int* last_above, int* first_below) {
    int above = from, i = from;
    int nearest = -1;
    for (;;) {
        i += step;
        if (i == n) i = 0;
        if (i < 0) i = n - 1;
        if (z[i] < -tol) break;
        if (z[i] > tol) {
            above = i;
            nearest = -1;
        } else if (nearest < 0 || std::abs(z[i]) < std::abs(z[nearest])) {
            nearest = i;
        }
    }
    *last_above = above;
    *first_below = i;
    return nearest >= 0 ? Cut{nearest, false} : Cut{above, true};
}

inline void crossing(const Polygon& p, const double* z, int a, int b, double* px, double* py) {
    const double t = z[a] / (z[a] - z[b]);
    *px = p.x[a] + t * (p.x[b] - p.x[a]);
    *py = p.y[a] + t * (p.y[b] - p.y[a]);
}

// Cuts p along z = 0 (z at its vertices, affine) into `upper` and `lower`, which share the new edge `seam` and
// partition p exactly. False when no vertex is beyond tol on one of the sides. Neither result may be p.
inline bool split(const Polygon& p, const double* z, double tol, Seam seam, Polygon& upper, Polygon& lower) {
    int top = 0, bottom = 0;
    for (int i = 1; i < p.n; ++i) {
        if (z[i] > z[top]) top = i;
        if (z[i] < z[bottom]) bottom = i;
    }
    if (!(z[top] > tol && z[bottom] < -tol)) return false;
    int a, b;
    const Cut out = find_cut(z, p.n, tol, top, +1, &a, &b);
    double ox = p.x[out.at], oy = p.y[out.at];
    if (out.between) crossing(p, z, a, b, &ox, &oy);
    const Cut in = find_cut(z, p.n, tol, top, -1, &a, &b);
    double ix = p.x[in.at], iy = p.y[in.at];
    if (in.between) crossing(p, z, a, b, &ix, &iy);

    upper.reserve(p.n + 2);
    lower.reserve(p.n + 2);
    upper.clear();
    lower.clear();
    // upper: the entry point, the vertices after it up to the exit, the exit point (whose edge is the new seam).
    const int before_in = in.between ? (in.at == 0 ? p.n - 1 : in.at - 1) : in.at;  // the edge that the entry lies on
    upper.add(ix, iy, p.seam[before_in]);
    for (int i = in.between ? in.at : (in.at + 1) % p.n;; i = i + 1 == p.n ? 0 : i + 1) {
        if (i == out.at && !out.between) break;
        upper.add(p.x[i], p.y[i], p.seam[i]);
        if (i == out.at) break;
    }
    upper.add(ox, oy, seam);
    lower.add(ox, oy, p.seam[out.at]);
    for (int i = out.at + 1 == p.n ? 0 : out.at + 1;; i = i + 1 == p.n ? 0 : i + 1) {
        if (i == in.at) break;
        lower.add(p.x[i], p.y[i], p.seam[i]);
    }
    lower.add(ix, iy, seam);
    return true;
}

}  // namespace pellucid
