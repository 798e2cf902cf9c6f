// Which of several affine functions is the largest where: the upper envelope over a convex polygon, exactly one cell
// for each function that is the largest somewhere.
//
// Cutting by pairs of functions would go through cells of third ones. Instead the functions are inserted in their order
// into a map of the polygon whose cells share numbered vertices; the new one takes what it exceeds from each cell.
// Signs are decided once for each vertex and an edge is cut once for both its sides, so that the cells always fit
// together.
#pragma once
#include <vector>

#include "polygon.hpp"

namespace pellucid {

// The functions z_i = gx x + gy y + h, each with its rounding floor (see planar.hpp).
struct Members {
    int n;
    const double *gx, *gy, *h, *floor;

    double at(int i, double x, double y) const { return gx[i] * x + (gy[i] * y + h[i]); }
};

// What was decided against a vertex because it was within tolerance.
struct Merged {
    int64_t count = 0;
    double area = 0;
};

class Envelope {
  public:
    struct Face {
        int winner;
        std::vector<int> loop;   // vertex numbers, counter-clockwise
        std::vector<Seam> seam;  // of the edge that leaves each; INNER between two faces
    };

    static constexpr Seam INNER = INT64_MIN;

    std::vector<Face> faces;
    std::vector<double> x, y;

    // geometric: the distance, in the kernel's coordinates, under which a sliver is not cut off.
    void build(const Polygon& p, const Members& m, double geometric, Merged& merged) {
        x.assign(p.x.data.get(), p.x.data.get() + p.n);
        y.assign(p.y.data.get(), p.y.data.get() + p.n);
        faces.resize(1);
        faces[0].winner = 0;
        faces[0].loop.resize(p.n);
        for (int i = 0; i < p.n; ++i) faces[0].loop[i] = i;
        faces[0].seam.assign(p.seam.data.get(), p.seam.data.get() + p.n);
        for (int b = 1; b < m.n; ++b) insert(p, m, b, geometric, merged);
        std::sort(faces.begin(), faces.end(), [](const Face& a, const Face& b) { return a.winner < b.winner; });
    }

    // The polygon of face f; seam_of(g) names its edges towards face g.
    template <class SeamOf>
    void polygon(int f, SeamOf seam_of, Polygon& out) const {
        const Face& face = faces[f];
        const int n = (int)face.loop.size();
        out.reserve(n);
        out.clear();
        for (int i = 0; i < n; ++i) {
            const int v = face.loop[i], w = face.loop[i + 1 == n ? 0 : i + 1];
            out.add(x[v], y[v], face.seam[i] == INNER ? seam_of(neighbour(w, v)) : face.seam[i]);
        }
    }

  private:
    struct Edge {
        int from, to;
        Seam seam;
    };
    struct NewVertex {
        int a, b, at;
    };

    std::vector<double> excess_, tol_, floor_, slope_;  // of the function being inserted, at each vertex
    std::vector<Edge> taken_;
    std::vector<NewVertex> cuts_;
    std::vector<double> ring_;

    int neighbour(int from, int to) const {  // the face that has this directed edge
        for (int f = 0; f < (int)faces.size(); ++f) {
            const auto& loop = faces[f].loop;
            for (size_t i = 0; i < loop.size(); ++i)
                if (loop[i] == from && loop[i + 1 == loop.size() ? 0 : i + 1] == to) return f;
        }
        return -1;
    }

    void insert(const Polygon& p, const Members& m, int b, double geometric, Merged& merged) {
        if (!measure(p, m, b, geometric, merged)) return;
        taken_.clear();
        cuts_.clear();
        size_t kept = 0;
        for (size_t f = 0; f < faces.size(); ++f) {
            if (!take(faces[f], p, merged)) continue;
            if (kept != f) std::swap(faces[kept], faces[f]);
            ++kept;
        }
        faces.resize(kept);
        join(b, merged);
    }

    // Excess of function b over the map, at each vertex, with what counts as zero there. True if it wins somewhere.
    bool measure(const Polygon& p, const Members& m, int b, double geometric, Merged& merged) {
        const size_t n = x.size();
        excess_.assign(n, INFINITY);
        tol_.assign(n, 0.0);
        floor_.assign(n, 0.0);
        slope_.assign(n, 0.0);
        for (const Face& face : faces) {
            const int a = face.winner;
            const double dx = m.gx[b] - m.gx[a], dy = m.gy[b] - m.gy[a], slope = std::hypot(dx, dy);
            const double floor = m.floor[a] + m.floor[b];
            for (int v : face.loop) {
                excess_[v] = std::min(excess_[v], m.at(b, x[v], y[v]) - m.at(a, x[v], y[v]));
                tol_[v] = std::max(tol_[v], geometric * slope + floor);
                floor_[v] = std::max(floor_[v], floor);
                slope_[v] = std::max(slope_[v], slope);
            }
        }
        bool wins = false;
        double thin = 0;
        for (const Face& face : faces)
            for (int v : face.loop) {
                if (excess_[v] > tol_[v]) wins = true;
                if (excess_[v] > floor_[v]) thin = std::max(thin, (excess_[v] + floor_[v]) / slope_[v]);
            }
        if (!wins && thin > 0) note(p, thin, merged);
        return wins;
    }

    static void note(const Polygon& p, double depth, Merged& merged) {
        ++merged.count;
        merged.area += std::min(area(p), depth * extent(p));
    }

    int sign(int v) const { return excess_[v] > tol_[v] ? 1 : excess_[v] < -tol_[v] ? -1 : 0; }

    // Takes from a face what the new function exceeds; false if nothing is left of it.
    bool take(Face& face, const Polygon& p, Merged& merged) {
        const int n = (int)face.loop.size();
        int top = -1, bottom = -1;
        double lost = 0;
        for (int i = 0; i < n; ++i) {
            const int v = face.loop[i], s = sign(v);
            if (s > 0 && (top < 0 || excess_[v] > excess_[face.loop[top]])) top = i;
            if (s < 0) bottom = i;
            if (-excess_[v] > floor_[v]) lost = std::max(lost, (floor_[v] - excess_[v]) / slope_[v]);
        }
        if (top < 0) return true;
        if (bottom < 0) {
            if (lost > 0) note(p, lost, merged);
            for (int i = 0; i < n; ++i)
                taken_.push_back({face.loop[i], face.loop[i + 1 == n ? 0 : i + 1], face.seam[i]});
            return false;
        }
        cut(face, top);
        return true;
    }

    void cut(Face& face, int top) {
        const int n = (int)face.loop.size();
        ring_.resize(n);  // scaled so that one tolerance fits all vertices
        for (int i = 0; i < n; ++i) ring_[i] = sign(face.loop[i]) == 0 ? 0.0 : excess_[face.loop[i]];
        for (int i = 0; i < n; ++i)
            if (ring_[i] == 0.0) ring_[i] = std::copysign(std::min(std::abs(excess_[face.loop[i]]), 1e-300), 1.0);
        int a, b;
        const Cut out = find_cut(ring_.data(), n, 1e-300, top, +1, &a, &b);
        const int leave = out.between ? new_vertex(face.loop[a], face.loop[b]) : face.loop[out.at];
        const Cut in = find_cut(ring_.data(), n, 1e-300, top, -1, &a, &b);
        const int enter = in.between ? new_vertex(face.loop[a], face.loop[b]) : face.loop[in.at];

        // The new function's part: from the entry forward to the exit. The chord is an inner edge of both.
        int at = enter;
        int edge = in.between ? (in.at == 0 ? n - 1 : in.at - 1) : in.at;
        for (int i = in.between ? in.at : (in.at + 1) % n;; i = (i + 1) % n) {
            if (i == out.at && !out.between) break;
            taken_.push_back({at, face.loop[i], face.seam[edge]});
            at = face.loop[i];
            edge = i;
            if (i == out.at) break;
        }
        taken_.push_back({at, leave, face.seam[edge]});
        taken_.push_back({leave, enter, INNER});

        Face rest{face.winner, {}, {}};
        rest.loop.push_back(leave);
        rest.seam.push_back(face.seam[out.at]);
        for (int i = (out.at + 1) % n; i != in.at; i = (i + 1) % n) {
            rest.loop.push_back(face.loop[i]);
            rest.seam.push_back(face.seam[i]);
        }
        rest.loop.push_back(enter);
        rest.seam.push_back(INNER);
        std::swap(face, rest);
    }

    int new_vertex(int a, int b) {
        if (a > b) std::swap(a, b);
        for (const auto& c : cuts_)
            if (c.a == a && c.b == b) return c.at;
        const double t = excess_[a] / (excess_[a] - excess_[b]);
        x.push_back(x[a] + t * (x[b] - x[a]));
        y.push_back(y[a] + t * (y[b] - y[a]));
        for (auto* column : {&excess_, &tol_, &floor_, &slope_}) column->push_back(0.0);
        cuts_.push_back({a, b, (int)x.size() - 1});
        return (int)x.size() - 1;
    }

    // The union of what was taken: edges met in both directions vanish, the others are chained to the new face.
    void join(int b, Merged& merged) {
        std::vector<Edge> border;
        for (const Edge& e : taken_) {
            bool inside = false;
            if (e.seam == INNER)
                for (const Edge& o : taken_) inside |= o.from == e.to && o.to == e.from;
            if (!inside) border.push_back(e);
        }
        int loops = 0;
        while (!border.empty()) {
            Face face{b, {}, {}};
            Edge e = border.back();
            border.pop_back();
            const int start = e.from;
            for (;;) {
                face.loop.push_back(e.from);
                face.seam.push_back(e.seam);
                if (e.to == start) break;
                size_t k = 0;
                while (k < border.size() && border[k].from != e.to) ++k;
                if (k == border.size()) break;  // cannot be: every vertex is left as often as it is entered
                e = border[k];
                border.erase(border.begin() + (long)k);
            }
            straighten(face);
            faces.push_back(std::move(face));
            ++loops;
        }
        if (loops > 1) merged.count += loops - 1;  // cells that touch in one point only, within tolerance
    }

    // Drops vertices inside one outer edge, left by a border between two functions that the new one covered.
    static void straighten(Face& face) {
        const size_t n = face.loop.size();
        size_t kept = 0;
        Seam before = face.seam[n - 1];
        for (size_t i = 0; i < n; ++i) {
            const Seam seam = face.seam[i];
            if (seam == INNER || seam != before) {
                face.loop[kept] = face.loop[i];
                face.seam[kept++] = seam;
            }
            before = seam;
        }
        face.loop.resize(kept);
        face.seam.resize(kept);
    }
};

}  // namespace pellucid
