// Arrays in, arrays out: rows of data, their codes and groups, local models in bulk, areas under ROC curves.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <utility>

#include "arrays.hpp"
#include "groups.hpp"
#include "ranks.hpp"
#include "rows.hpp"

using namespace pellucid;

namespace {

nb::tuple encode(const RowEncoder& encoder, In2<double> x, bool outputs, int threads) {
    const Chain& chain = encoder.chain();
    expect((int)x.shape(1) == chain.inputs, "the rows have another width than the chain");
    const size_t n = x.shape(0), words = (size_t)chain.packing.words, c = outputs ? (size_t)chain.out->rows : 0;
    auto codes = std::make_unique<uint64_t[]>(n * words);
    auto face = std::make_unique<uint8_t[]>(n);
    auto y = std::make_unique<double[]>(n * c);
    {
        nb::gil_scoped_release released;
        encoder.run(x.data(), n, threads, codes.get(), face.get(), outputs ? y.get() : nullptr);
    }
    return nb::make_tuple(fresh(std::move(codes), {n, words}), fresh(std::move(face), {n}),
                          fresh(std::move(y), {n, c}));
}

nb::tuple maps(const RowMaps& made, const Chain& chain, In2<uint64_t> codes, int threads) {
    expect((int)codes.shape(1) == chain.packing.words, "the codes have another number of words than the chain's");
    const size_t n = codes.shape(0), c = (size_t)chain.out->rows, d = (size_t)chain.inputs;
    auto coef = std::make_unique<double[]>(n * c * d);
    auto intercept = std::make_unique<double[]>(n * c);
    {
        nb::gil_scoped_release released;
        made.run(codes.data(), n, threads, coef.get(), intercept.get());
    }
    return nb::make_tuple(fresh(std::move(coef), {n, c, d}), fresh(std::move(intercept), {n, c}));
}

nb::object add(GroupTable& table, In2<uint64_t> codes, In2<double> y, In1<double> weight, In1<double> loss,
               int64_t start) {
    const size_t n = codes.shape(0);
    expect((int)codes.shape(1) == table.words, "the codes have another number of words than the table's");
    expect(table.responses == 0 || (y.shape(0) == n && (int)y.shape(1) == table.responses), "y does not fit");
    expect(!table.has_weight || weight.shape(0) == n, "one weight for each row");
    expect(!table.has_loss || loss.shape(0) == n, "one loss for each row");
    auto labels = std::make_unique<int64_t[]>(n);
    {
        nb::gil_scoped_release released;
        table.add(codes.data(), n, table.responses ? y.data() : nullptr, table.has_weight ? weight.data() : nullptr,
                  table.has_loss ? loss.data() : nullptr, start, labels.get());
    }
    return fresh(std::move(labels), {n});
}

template <class T>
nb::object copied(std::vector<T>& v, std::vector<size_t> shape) {
    auto* owned = new std::vector<T>(std::move(v));
    owned->shrink_to_fit();
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape.size(), shape.data(), owner));
}

// The columns of the table, which is empty afterwards.
nb::dict take(GroupTable& t) {
    const size_t k = t.size(), m = (size_t)t.responses, w = (size_t)t.words;
    nb::dict out;
    out["hashes"] = copied(t.hash, {k, 3});
    out["count"] = copied(t.count, {k});
    out["first"] = copied(t.first, {k});
    out["mean"] = copied(t.mean, {k, m});
    out["codes"] = t.keeps_codes ? copied(t.codes, {k, w}) : nb::none();
    out["weight"] = t.has_weight ? copied(t.weight, {k}) : nb::none();
    out["square"] = t.has_square ? copied(t.square, {k, m}) : nb::none();
    out["loss"] = t.has_loss ? copied(t.loss, {k}) : nb::none();
    return out;
}

nb::object hash_codes(In2<uint64_t> codes) {
    const size_t n = codes.shape(0);
    auto out = std::make_unique<uint64_t[]>(3 * n);
    for (size_t i = 0; i < n; ++i) {
        const CodeHash h = hash_of(codes.data() + i * codes.shape(1), (int)codes.shape(1));
        out[3 * i] = h.a, out[3 * i + 1] = h.b, out[3 * i + 2] = h.check;
    }
    return fresh(std::move(out), {n, 3});
}

nb::object roc_areas(In2<double> scores, In1<uint8_t> second, int threads) {
    const size_t k = scores.shape(0), n = scores.shape(1);
    expect(second.shape(0) == n, "one class for each score");
    expect(n < (uint64_t(1) << 32), "at most 2^32 scores");
    auto out = std::make_unique<double[]>(k);
    {
        nb::gil_scoped_release released;
        const size_t blocks = std::min<size_t>(k, (size_t)std::max(threads, 1));
        in_parallel(threads, blocks, [&](size_t b) {
            RocArea area;
            for (size_t i = b; i < k; i += blocks) out[i] = area(scores.data() + i * n, second.data(), n);
        });
    }
    return fresh(std::move(out), {k});
}

}  // namespace

void bind_rows(nb::module_& m) {
    nb::class_<RowEncoder>(m, "RowEncoder").def("encode", &encode);
    m.def(
        "row_encoder", [](std::shared_ptr<Chain> chain, double near) { return new RowEncoder(std::move(chain), near); },
        nb::rv_policy::take_ownership);
    nb::class_<RowMaps>(m, "RowMaps").def("maps", &maps);
    m.def(
        "row_maps", [](std::shared_ptr<Chain> chain) { return new RowMaps(std::move(chain)); },
        nb::rv_policy::take_ownership);
    nb::class_<GroupTable>(m, "GroupTable")
        .def("add", &add)
        .def("take", &take)
        .def("size", &GroupTable::size)
        .def("bytes", &GroupTable::bytes);
    m.def(
        "group_table",
        [](int words, int responses, bool codes, bool weight, bool square, bool loss) {
            return new GroupTable(words, responses, codes, weight, square, loss);
        },
        nb::rv_policy::take_ownership);
    m.def("hash_codes", &hash_codes);
    m.def("roc_areas", &roc_areas);
}
