// Arrays in, arrays out: the search engine, facets, and the simplex by itself.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "cells.hpp"
#include "facets.hpp"
#include "search.hpp"

using namespace pellucid;

namespace {

SearchRun* make_run(std::shared_ptr<Chain> chain, In1<double> centre, In1<double> half, In2<double> G, In1<double> h,
                    const std::vector<In1<double>>& floors, const std::vector<In1<double>>& lower,
                    const std::vector<In1<double>>& upper, double factor, double geometric, const std::string& mode,
                    In1<double> thresholds, bool maps, bool rows, bool cuts, In1<double> start, In1<double> watched,
                    int64_t max_rows, double max_seconds, int64_t max_bytes, int threads) {
    expect(G.shape(0) == h.shape(0), "G and h have different numbers of rows");
    expect((int)G.shape(1) == chain->inputs, "G has another dimension than the chain");
    const FinalSplit split = final_split(mode, thresholds, chain->out->rows);
    std::vector<double> first = watched_rows(*chain, watched);
    expect(!start.shape(0) || start.shape(0) == centre.shape(0), "the point has another dimension than the chain");
    return new SearchRun(std::move(chain), {centre.data(), centre.data() + centre.shape(0)},
                         {half.data(), half.data() + half.shape(0)}, G.data(), h.data(), (int)G.shape(0),
                         tolerances(floors, factor, geometric), columns(lower), columns(upper), geometric, split, maps,
                         rows, cuts, start.shape(0) ? start.data() : nullptr, std::move(first),
                         budget(max_rows, max_seconds, max_bytes, threads));
}

// The same, for what is near the point `at` (in u): distances are |weight (u - at)|_norm.
SearchRun* make_near_run(std::shared_ptr<Chain> chain, In1<double> centre, In1<double> half, In2<double> G,
                         In1<double> h, const std::vector<In1<double>>& floors, const std::vector<In1<double>>& lower,
                         const std::vector<In1<double>>& upper, double factor, double geometric,
                         const std::string& mode, In1<double> thresholds, bool maps, In1<double> at, In1<double> weight,
                         const std::string& norm, double radius, int64_t keep, int avoid, int only, In1<double> watched,
                         double max_seconds, int threads) {
    const size_t d = (size_t)chain->inputs;
    expect(G.shape(0) == h.shape(0), "G and h have different numbers of rows");
    expect(G.shape(1) == d, "G has another dimension than the chain");
    expect(at.shape(0) == d && weight.shape(0) == d && centre.shape(0) == d && half.shape(0) == d,
           "the point, the weights or the bounding box do not fit the chain");
    std::vector<double> v(d), w(d);
    for (size_t i = 0; i < d; ++i) {
        v[i] = (at.data()[i] - centre.data()[i]) / half.data()[i];
        w[i] = weight.data()[i] * half.data()[i];
        expect(w[i] > 0, "weights must be positive");
    }
    using Norm = Nearness::Norm;
    const Norm p = norm == "2" ? Norm::two : norm == "1" ? Norm::one : Norm::infinite;
    auto near = std::make_unique<Nearness>(p, std::move(v), std::move(w), radius, keep, avoid, only);
    const FinalSplit split = final_split(mode, thresholds, chain->out->rows);
    std::vector<double> first = watched_rows(*chain, watched);
    const Budget limits = budget(INT64_MAX, max_seconds, INT64_MAX, threads);
    return new SearchRun(std::move(chain), {centre.data(), centre.data() + d}, {half.data(), half.data() + d}, G.data(),
                         h.data(), (int)G.shape(0), tolerances(floors, factor, geometric), columns(lower),
                         columns(upper), geometric, split, maps, true, false, nullptr, std::move(first), limits,
                         std::move(near));
}

nb::dict take_result(SearchRun& run) {
    {
        nb::gil_scoped_release released;
        run.finish();
    }
    auto& out = run.pool().output;
    RegionRows& r = out.result;
    const SearchShape shape = out.shape();
    const size_t k = r.count(), c = (size_t)shape.outputs, d = (size_t)shape.dim;
    const SearchDecisions& s = run.decisions();
    nb::dict result;
    result["codes"] = give<uint64_t>(r.codes, {k, (size_t)shape.words});
    result["points"] = give<double>(r.points, {k, d});
    result["clearance"] = give<double>(r.clearance, {k});
    result["coef"] = shape.maps ? give<double>(r.coef, {k, c, d}) : nb::none();
    result["intercept"] = shape.maps ? give<double>(r.intercept, {k, c}) : nb::none();
    result["first"] = shape.first ? give<int32_t>(r.first, {k}) : nb::none();
    result["second"] = shape.second ? give<int32_t>(r.second, {k}) : nb::none();
    if (shape.cuts) {  // of region i: cuts[span[i, 0]], span[i, 1] of them
        const size_t rows = r.cuts.size / (d + 1);
        result["cut_span"] = give<int64_t>(r.cut_span, {k, 2});
        result["cuts"] = give<double>(r.cuts, {rows, d + 1});
    }
    result["n_regions"] = shape.rows ? (int64_t)k : s.regions;
    result["unresolved"] = s.unresolved;
    result["unresolved_thickness"] = s.thickness;
    result["ties"] = s.ties;
    result["errors"] = errors_of(*run.problem().chain, run.errors());
    result["complete"] = run.pool().complete();
    result["reason"] = run.pool().reason();
    result["rest_cells"] = out.rest_cells;
    result["rest_share"] = out.rest_share;
    result["programmes"] = s.programmes;
    result["pivots"] = s.pivots;
    result["cells"] = s.cells;
    result["rescued"] = s.rescued;
    if (shape.near) {
        result["distance"] = give<double>(r.distance, {k});
        result["feet"] = give<double>(r.feet, {k, d});
        result["rest_distance"] = out.rest_distance;
    }
    return result;
}

// ---- facets and centres of given regions
FacetProblem facet_problem(std::shared_ptr<Chain> chain, In1<double> centre, In1<double> half, In2<double> G,
                           In1<double> h, const std::vector<In1<double>>& floors, double factor,
                           const std::string& mode, In1<double> thresholds) {
    expect(G.shape(0) == h.shape(0) && (int)G.shape(1) == chain->inputs, "G and h do not fit the chain");
    expect(floors.size() == chain->stages.size() + 1, "floors: one array a stage and one");
    for (size_t l = 0; l < floors.size(); ++l)
        expect((int)floors[l].shape(0) == chain->map(l).rows, "floors do not fit the rows");
    SpaceFrame frame{{centre.data(), centre.data() + centre.shape(0)}, {half.data(), half.data() + half.shape(0)}};
    expect((int)frame.c.size() == chain->inputs && frame.h.size() == frame.c.size(),
           "the bounding box does not fit the chain");
    const FinalSplit split = final_split(mode, thresholds, chain->out->rows);
    return FacetProblem(std::move(chain), std::move(frame), G.data(), h.data(), (int)G.shape(0),
                        tolerances(floors, factor, 0), split);
}

RegionList region_list(const FacetProblem& p, In2<uint64_t> codes, In2<double> points, In1<int32_t> first,
                       In1<int32_t> second, int threads) {
    const size_t k = codes.shape(0);
    expect(threads >= 1, "at least one thread is needed");
    expect((int)codes.shape(1) == p.chain->packing.words, "the codes have another number of words than the chain");
    expect(points.shape(0) == k && points.shape(1) == p.frame.c.size(), "one point a code, in u, is needed");
    for (const auto* column : {&first, &second})
        expect(column->shape(0) == 0 || column->shape(0) == k, "one winner a code is needed");
    return {k, codes.data(), points.data(), first.shape(0) ? first.data() : nullptr,
            second.shape(0) ? second.data() : nullptr};
}

nb::dict facets_of(const FacetProblem& p, In2<uint64_t> codes, In2<double> points, In1<int32_t> first,
                   In1<int32_t> second, bool neighbours, int threads) {
    const RegionList list = region_list(p, codes, points, first, second, threads);
    FacetColumns f;
    {
        nb::gil_scoped_release released;
        f = find_facets(p, list, neighbours, threads);
    }
    const size_t n = f.b.size;
    nb::dict out;
    out["counts"] = give<int64_t>(f.counts, {list.count});
    out["A"] = give<double>(f.A, {n, p.frame.c.size()});
    out["b"] = give<double>(f.b, {n});
    out["column"] = give<int32_t>(f.column, {n});
    out["low"] = give<int32_t>(f.low, {n});
    out["high"] = give<int32_t>(f.high, {n});
    out["beyond"] = neighbours ? give<uint64_t>(f.beyond, {n, (size_t)p.chain->packing.words}) : nb::none();
    out["inner"] = neighbours ? give<double>(f.inner, {n, p.frame.c.size()}) : nb::none();
    out["programmes"] = f.programmes;
    out["doubtful"] = f.doubtful;
    return out;
}

nb::tuple centres_of(const FacetProblem& p, In2<uint64_t> codes, In2<double> points, In1<int32_t> first,
                     In1<int32_t> second, int threads) {
    const RegionList list = region_list(p, codes, points, first, second, threads);
    const size_t d = p.frame.c.size();
    auto centres = std::make_unique<double[]>(list.count * d);
    auto radii = std::make_unique<double[]>(list.count);
    {
        nb::gil_scoped_release released;
        find_centres(p, list, threads, centres.get(), radii.get());
    }
    return nb::make_tuple(fresh(std::move(centres), {list.count, d}), fresh(std::move(radii), {list.count}));
}

nb::tuple support_of(const FacetProblem& p, In2<uint64_t> codes, In2<double> points, In2<double> directions,
                     In2<double> A, In2<double> b, double geometric, int threads) {
    const RegionList list{codes.shape(0), codes.data(), points.data(), nullptr, nullptr};
    const size_t d = p.frame.c.size(), k = list.count;
    expect((int)codes.shape(1) == p.chain->packing.words, "the codes have another number of words than the chain");
    expect(points.shape(0) == k && points.shape(1) == d, "one point a code, in u, is needed");
    expect(directions.shape(0) == k && directions.shape(1) == d, "one direction a code, in v, is needed");
    expect(b.shape(0) == k && A.shape(0) == k && A.shape(1) == b.shape(1) * d, "the extra rows do not fit the codes");
    auto bounds = std::make_unique<double[]>(k);
    auto values = std::make_unique<double[]>(k);
    auto best = std::make_unique<double[]>(k * d);
    {
        nb::gil_scoped_release released;
        const SupportQuestions questions{directions.data(), (int)b.shape(1), A.data(), b.data(), geometric};
        find_support(p, list, questions, threads, bounds.get(), values.get(), best.get());
    }
    return nb::make_tuple(fresh(std::move(bounds), {k}), fresh(std::move(values), {k}), fresh(std::move(best), {k, d}));
}

// ---- the simplex by itself: rows of any length, no box
Cuts normed(In2<double> A, In1<double> b) {
    expect(A.shape(0) == b.shape(0), "A and b have different numbers of rows");
    const int d = (int)A.shape(1);
    expect(d >= 1 && d <= 64, "the simplex takes 1 to 64 variables");
    Cuts cuts(d);
    for (size_t r = 0; r < A.shape(0); ++r) {
        const double* a = A.data() + r * d;
        double square = 0;
        for (int i = 0; i < d; ++i) square += a[i] * a[i];
        const double norm = std::sqrt(square);
        if (norm > 0) cuts.push(a, 1, 1 / norm, b.data()[r] / norm, 1.0);
        expect(norm > 0 || b.data()[r] >= 0, "the set is empty");
    }
    return cuts;
}

struct Located {
    std::vector<double> vertex, scratch;
    bool found;
};

// A vertex of the set from a feasible point.
Located locate(const Halfspaces& rows, const double* x, const double* c) {
    Located l{std::vector<double>(Vertex::size(rows.d)), std::vector<double>(lp_scratch(rows.d, rows.n)), false};
    l.found = search_kernels().to_vertex(rows, x, c, l.vertex.data(), l.scratch.data());
    return l;
}

nb::object lp_chebyshev(In2<double> A, In1<double> b, In1<double> x) {
    const Cuts cuts = normed(A, b);
    const int d = (int)A.shape(1);
    expect((int)x.shape(0) == d, "the point has another dimension than A");
    auto centre = std::make_unique<double[]>(d);
    double radius = 0;
    if (!chebyshev(cuts.rows(INFINITY), nullptr, x.data(), centre.get(), &radius)) return nb::none();
    return nb::make_tuple(fresh(std::move(centre), {(size_t)d}), radius);
}

// max c.x over { A x <= b } from a feasible point x: (status, value, vertex).
nb::tuple lp_maximise(In2<double> A, In1<double> b, In1<double> c, In1<double> x, double stop) {
    const Cuts cuts = normed(A, b);
    const int d = (int)A.shape(1);
    expect((int)c.shape(0) == d && (int)x.shape(0) == d, "c and x have another dimension than A");
    const Halfspaces rows = cuts.rows(INFINITY);
    std::vector<double> unit(packed(d), 0.0);
    double square = 0;
    for (int i = 0; i < d; ++i) square += c.data()[i] * c.data()[i];
    const double norm = square > 0 ? std::sqrt(square) : 1;
    for (int i = 0; i < d; ++i) unit[i] = c.data()[i] / norm;
    auto out = std::make_unique<double[]>(d);
    Located l = locate(rows, x.data(), unit.data());
    if (!l.found) return nb::make_tuple("unbounded", INFINITY, nb::none());
    std::vector<double> work(l.vertex.size());
    const LpResult r = search_kernels().maximise(rows, l.vertex.data(), work.data(), unit.data(), stop / norm,
                                                 l.scratch.data(), nullptr);
    const double* best = r.pivots ? work.data() : l.vertex.data();
    std::copy(best, best + d, out.get());
    const char* names[] = {"optimal", "stopped", "unbounded", "stuck"};
    return nb::make_tuple(names[(int)r.status], r.value * norm, fresh(std::move(out), {(size_t)d}));
}

}  // namespace

void bind_search(nb::module_& m) {
    nb::class_<SearchRun>(m, "SearchRun")
        .def("start", &SearchRun::start, nb::call_guard<nb::gil_scoped_release>())
        .def("wait", &SearchRun::wait, nb::call_guard<nb::gil_scoped_release>())
        .def("cancel", &SearchRun::cancel, nb::call_guard<nb::gil_scoped_release>())
        .def("status",
             [](SearchRun& r) {
                 auto& p = r.pool();
                 return nb::make_tuple(p.found.load(), p.share.load(), p.seconds());
             })
        .def("result", &take_result);
    m.def("search_run", &make_run, nb::rv_policy::take_ownership);
    m.def("near_run", &make_near_run, nb::rv_policy::take_ownership);
    nb::class_<FacetProblem>(m, "FacetProblem")
        .def("facets", &facets_of)
        .def("centres", &centres_of)
        .def("support", &support_of);
    m.def("facet_problem", &facet_problem);
    m.def("lp_chebyshev", &lp_chebyshev);
    m.def("lp_maximise", &lp_maximise);
}
