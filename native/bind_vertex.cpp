// Arrays in, arrays out: the vertex engine.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "vertex.hpp"

using namespace pellucid;

namespace {

VertexRun* make_run(std::shared_ptr<Chain> chain, In1<double> lower, In1<double> upper, In1<int64_t> names,
                    In2<double> G, In1<double> h, In1<int64_t> numbers, In1<double> frame,
                    const std::vector<In1<double>>& floors, double factor, double geometric, const std::string& mode,
                    In1<double> thresholds, bool maps, bool volumes, bool facets, bool vertices, bool snaps,
                    In1<double> watched, int64_t max_rows, double max_seconds, int64_t max_bytes, int threads) {
    const size_t d = lower.shape(0), rows = G.shape(0);
    expect(upper.shape(0) == d && names.shape(0) == 2 * d && G.shape(1) == d,
           "the domain's arrays do not fit each other");
    expect(frame.shape(0) == 0 || frame.shape(0) == 2 * d, "the frame is lower and upper corner");
    expect(h.shape(0) == rows && numbers.shape(0) == rows, "G and h have different numbers of rows");
    const VertexDomain domain{(int)d,       (int)rows,      lower.data(),
                              upper.data(), G.data(),       h.data(),
                              names.data(), numbers.data(), frame.shape(0) ? frame.data() : nullptr};
    VertexShape shape;
    shape.maps = maps;
    shape.volumes = volumes;
    shape.facets = facets;
    shape.vertices = vertices;
    const FinalSplit split = final_split(mode, thresholds, chain->out->rows);
    std::vector<double> first = watched_rows(*chain, watched);
    return new VertexRun(std::move(chain), domain, tolerances(floors, factor, geometric), geometric, split, shape,
                         snaps, std::move(first), budget(max_rows, max_seconds, max_bytes, threads));
}

nb::dict take_result(VertexRun& run) {
    {
        nb::gil_scoped_release released;
        run.finish();
    }
    auto& out = run.pool().output;
    auto& r = out.result;
    const VertexShape shape = out.shape();
    const size_t k = (size_t)out.rows(), c = (size_t)shape.outputs, d = (size_t)shape.dim;
    const size_t facets = r.n_facets, seams = r.n_seams, corners = r.n_vertices;
    const nb::capsule owner = owner_of(std::move(r.block));
    const size_t rests = r.rest_ptr.size, rest_corners = r.rest_vertices.size / d;
    const VertexDecisions s = run.decisions();
    nb::dict result;
    result["codes"] = lies_in(owner, r.codes, {k, (size_t)shape.words});
    result["points"] = lies_in(owner, r.points, {k, d});
    result["coef"] = shape.maps ? lies_in(owner, r.coef, {k, c, d}) : nb::none();
    result["intercept"] = shape.maps ? lies_in(owner, r.intercept, {k, c}) : nb::none();
    result["first"] = shape.first ? lies_in(owner, r.first, {k}) : nb::none();
    result["second"] = shape.second ? lies_in(owner, r.second, {k}) : nb::none();
    result["volume"] = shape.volumes ? lies_in(owner, r.volume, {k}) : nb::none();
    result["vertex_ptr"] = shape.vertices ? lies_in(owner, r.vertex_ptr, {k + 1}) : nb::none();
    result["vertices"] = shape.vertices ? lies_in(owner, r.vertices, {corners, d}) : nb::none();
    result["facet_ptr"] = shape.facets ? lies_in(owner, r.facet_ptr, {k + 1}) : nb::none();
    result["facet_seam"] = shape.facets ? lies_in(owner, r.facet, {facets}) : nb::none();
    result["facet_side"] = shape.facets ? lies_in(owner, r.facet_side, {facets}) : nb::none();
    result["facet_A"] = shape.facets ? lies_in(owner, r.facet_A, {facets, d}) : nb::none();
    result["facet_b"] = shape.facets ? lies_in(owner, r.facet_b, {facets}) : nb::none();
    result["seams"] = shape.facets ? lies_in(owner, r.seams, {seams, 3}) : nb::none();
    result["n_regions"] = (int64_t)k;
    result["unresolved"] = s.merged;
    result["unresolved_volume"] = s.volume;
    result["ties"] = s.ties;
    result["met_vertices"] = s.met_vertices;
    result["errors"] = errors_of(*run.problem().chain, run.errors());
    result["complete"] = run.pool().complete();
    result["reason"] = run.pool().reason();
    result["domain_volume"] = run.whole();
    result["rest_ptr"] = give<int64_t>(r.rest_ptr, {rests});
    result["rest_vertices"] = give<double>(r.rest_vertices, {rest_corners, d});
    return result;
}

}  // namespace

void bind_vertex(nb::module_& m) {
    nb::class_<VertexRun>(m, "VertexRun")
        .def("start", &VertexRun::start, nb::call_guard<nb::gil_scoped_release>())
        .def("wait", &VertexRun::wait, nb::call_guard<nb::gil_scoped_release>())
        .def("cancel", &VertexRun::cancel, nb::call_guard<nb::gil_scoped_release>())
        .def("status",
             [](VertexRun& r) {
                 auto& p = r.pool();
                 return nb::make_tuple(p.found.load(), p.share.load(), p.seconds());
             })
        .def("result", &take_result);
    m.def("vertex_run", &make_run, nb::rv_policy::take_ownership);
}
