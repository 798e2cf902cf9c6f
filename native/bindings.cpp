// Arrays in, arrays out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "codes.hpp"
#include "planar.hpp"

using namespace pellucid;

void bind_rows(nb::module_& m);    // bind_rows.cpp
void bind_search(nb::module_& m);  // bind_search.cpp
void bind_vertex(nb::module_& m);  // bind_vertex.cpp

namespace {

// From 0 to `end`, never down.
template <class T>
bool rises(In1<T> ptr, size_t end) {
    const size_t n = ptr.shape(0);
    return n && ptr.data()[0] == 0 && (size_t)ptr.data()[n - 1] == end && std::is_sorted(ptr.data(), ptr.data() + n);
}

std::shared_ptr<Affine> dense(In2<double> A, In1<double> a) {
    expect(A.shape(0) == a.shape(0), "A and a have different numbers of rows");
    return std::make_shared<Affine>(Affine::dense(A.data(), a.data(), (int)A.shape(0), (int)A.shape(1)));
}

std::shared_ptr<Affine> csr(In1<int64_t> ptr, In1<int32_t> col, In1<double> val, In1<double> a, int cols) {
    const size_t rows = a.shape(0);
    expect(ptr.shape(0) == rows + 1, "A and a have different numbers of rows");
    expect(rises(ptr, val.shape(0)) && col.shape(0) == val.shape(0), "the rows of A do not fit its entries");
    for (size_t q = 0; q < col.shape(0); ++q)
        expect(col.data()[q] >= 0 && col.data()[q] < cols, "A names a column too many");
    return std::make_shared<Affine>(Affine::csr(ptr.data(), col.data(), val.data(), a.data(), (int)a.shape(0), cols));
}

std::shared_ptr<Stage> elementwise(Affine& in, In1<int32_t> ptr, In1<double> breaks, In1<double> slopes,
                                   In1<double> offsets) {
    const size_t n = (size_t)in.rows;
    expect(in.bias.size() == (size_t)in.ld, "the affine map has been taken by another stage");
    expect(ptr.shape(0) == n + 1, "ptr does not fit the rows of A");
    const size_t b = breaks.shape(0);
    expect(rises(ptr, b), "ptr does not fit the breakpoints");
    expect(breaks.shape(0) == b && slopes.shape(0) == b + n && offsets.shape(0) == b + n, "pieces do not fit ptr");
    return std::make_shared<Stage>(
        Stage::elementwise(std::move(in), ptr.data(), breaks.data(), slopes.data(), offsets.data()));
}

std::shared_ptr<Stage> selection(Affine& in, In1<int32_t> ptr, In1<int32_t> members) {
    expect(in.bias.size() == (size_t)in.ld, "the affine map has been taken by another stage");
    expect(ptr.shape(0) >= 1 && rises(ptr, members.shape(0)), "members do not fit ptr");
    const size_t g = ptr.shape(0) - 1;
    return std::make_shared<Stage>(Stage::selection(std::move(in), ptr.data(), members.data(), (int)g));
}

std::shared_ptr<Chain> make_chain(int inputs, const std::vector<std::shared_ptr<Stage>>& stages,
                                  std::shared_ptr<Affine> out) {
    return std::make_shared<Chain>(inputs, std::vector<StagePtr>(stages.begin(), stages.end()), std::move(out));
}

PlanarRun* make_run(std::shared_ptr<Chain> chain, In2<double> polygon, In1<double> frame,
                    const std::vector<In1<double>>& floors, double factor, double geometric, const std::string& mode,
                    In1<double> thresholds, In1<double> watched, int64_t max_rows, double max_seconds,
                    int64_t max_bytes, int threads) {
    expect(polygon.shape(1) == 2 && polygon.shape(0) >= 3, "the polygon needs three vertices in the plane");
    expect(frame.shape(0) == 0 || frame.shape(0) == 4, "the frame is lower and upper corner");
    const FinalSplit split = final_split(mode, thresholds, chain->out->rows);
    std::vector<double> first = watched_rows(*chain, watched);
    return new PlanarRun(std::move(chain), polygon.data(), (int)polygon.shape(0),
                         frame.shape(0) ? frame.data() : nullptr, tolerances(floors, factor, geometric), geometric,
                         split, std::move(first), budget(max_rows, max_seconds, max_bytes, threads));
}

nb::dict take_result(PlanarRun& run) {
    {
        nb::gil_scoped_release released;
        run.finish();
    }
    auto& pool = run.pool();
    PlanarResult& r = pool.output.result;
    const Shape shape = run.shape();
    const size_t k = (size_t)pool.output.rows(), v = (size_t)pool.output.corners(), c = (size_t)shape.outputs;
    const size_t rests = r.rest_ptr.size, rest_corners = r.rest_vertices.size / 2;
    const Decisions d = run.decisions();
    const nb::capsule owner = owner_of(std::move(r.block));
    nb::dict out;
    out["codes"] = lies_in(owner, r.codes, {k, (size_t)shape.words});
    out["vertex_ptr"] = lies_in(owner, r.vertex_ptr, {k + 1});
    out["vertices"] = lies_in(owner, r.vertices, {v, 2});
    out["edge_seam"] = lies_in(owner, r.edge_seam, {v});
    out["seams"] = lies_in(owner, r.seams, {r.n_seams, 3});
    out["coef"] = lies_in(owner, r.coef, {k, c, 2});
    out["intercept"] = lies_in(owner, r.intercept, {k, c});
    out["area"] = lies_in(owner, r.area, {k});
    out["first"] = shape.first ? lies_in(owner, r.first, {k}) : nb::none();
    out["second"] = shape.second ? lies_in(owner, r.second, {k}) : nb::none();
    out["unresolved"] = d.merged.count;
    out["unresolved_area"] = d.merged.area;
    out["ties"] = d.ties;
    out["errors"] = errors_of(*run.problem().chain, run.errors());
    out["complete"] = pool.complete();
    out["reason"] = pool.reason();
    out["rest_ptr"] = give<int64_t>(r.rest_ptr, {rests});
    out["rest_vertices"] = give<double>(r.rest_vertices, {rest_corners, 2});
    return out;
}

nb::object unpack_codes(In2<uint64_t> codes, In1<int64_t> pieces) {
    const Packing packing = packing_of(pieces.data(), (int)pieces.shape(0));
    expect((size_t)packing.words == codes.shape(1), "the codes have another number of words than these columns");
    const size_t n = codes.shape(0), columns = pieces.shape(0);
    const bool wide = std::any_of(pieces.data(), pieces.data() + columns, [](int64_t p) { return p > 256; });
    if (wide) {
        auto out = std::make_unique<uint16_t[]>(n * columns);
        unpack(packing, codes.data(), n, out.get());
        return fresh(std::move(out), {n, columns});
    }
    auto out = std::make_unique<uint8_t[]>(n * columns);
    unpack(packing, codes.data(), n, out.get());
    return fresh(std::move(out), {n, columns});
}

nb::object pack_codes(In2<uint16_t> values, In1<int64_t> pieces) {
    const Packing packing = packing_of(pieces.data(), (int)pieces.shape(0));
    expect(values.shape(1) == pieces.shape(0), "one column of pieces for each code column");
    const size_t n = values.shape(0), words = (size_t)packing.words;
    auto out = std::make_unique<uint64_t[]>(n * words);
    pack(packing, values.data(), n, out.get());
    return fresh(std::move(out), {n, words});
}

nb::object match_codes(In2<uint64_t> codes, In2<uint64_t> queries) {
    expect(codes.shape(1) == queries.shape(1), "codes and queries have different numbers of words");
    const size_t m = queries.shape(0);
    auto out = std::make_unique<int64_t[]>(m);
    {
        nb::gil_scoped_release released;
        match(codes.data(), codes.shape(0), (int)codes.shape(1), queries.data(), m, out.get());
    }
    return fresh(std::move(out), {m});
}

nb::object codes_of(const Chain& chain, In2<double> x) {
    expect((int)x.shape(1) == chain.inputs, "the points have another dimension than the chain");
    const size_t n = x.shape(0), words = (size_t)chain.packing.words;
    auto out = std::make_unique<uint64_t[]>(n * words);
    {
        nb::gil_scoped_release released;
        CodesOf(chain).run(x.data(), n, out.get());
    }
    return fresh(std::move(out), {n, words});
}

}  // namespace

NB_MODULE(_core, m) {
    m.doc() = "Native core of pellucid; not public.";
    m.def("cpu_level", [] { return std::string(kernels().name); });

    nb::class_<Affine>(m, "Affine");
    m.def("dense", &dense);
    m.def("csr", &csr);
    nb::class_<Stage>(m, "Stage");
    m.def("elementwise", &elementwise, "Takes the affine map over; it is empty afterwards.");
    m.def("selection", &selection, "Takes the affine map over; it is empty afterwards.");
    nb::class_<Chain>(m, "Chain").def("codes_of", &codes_of);
    m.def("chain", &make_chain);

    nb::class_<PlanarRun>(m, "PlanarRun")
        .def("start", &PlanarRun::start, nb::call_guard<nb::gil_scoped_release>())
        .def("wait", &PlanarRun::wait, nb::call_guard<nb::gil_scoped_release>())
        .def("cancel", &PlanarRun::cancel, nb::call_guard<nb::gil_scoped_release>())
        .def("status",
             [](PlanarRun& r) {
                 auto& p = r.pool();
                 return nb::make_tuple(p.found.load(), p.share.load(), p.seconds());
             })
        .def("result", &take_result);
    m.def("planar_run", &make_run, nb::rv_policy::take_ownership);

    bind_rows(m);
    bind_search(m);
    bind_vertex(m);

    m.def("unpack_codes", &unpack_codes);
    m.def("pack_codes", &pack_codes);
    m.def("match_codes", &match_codes);
}
