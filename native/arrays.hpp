// numpy arrays in and out.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

#include "chain.hpp"
#include "final_split.hpp"
#include "output.hpp"

namespace pellucid {

namespace nb = nanobind;

template <class T>
using In1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using In2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

inline void expect(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(what);
}

// Hands a column to numpy, which frees it.
template <class T, class To = T>
nb::object give(Column<To>& column, std::vector<size_t> shape) {
    column.shrink();
    To* data = column.data;
    if (!data) data = static_cast<To*>(std::malloc(1));
    column.data = nullptr;
    column.size = column.capacity = 0;
    nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(data, shape.size(), shape.data(), owner));
}

// The block of a result, freed with the last of the arrays that lie in it.
inline nb::capsule owner_of(Block&& block) {
    return nb::capsule(new Block(std::move(block)), [](void* p) noexcept { delete static_cast<Block*>(p); });
}

template <class T>
nb::object lies_in(const nb::capsule& owner, T* data, std::initializer_list<size_t> shape) {
    return nb::cast(nb::ndarray<nb::numpy, T>(data, shape.size(), shape.begin(), owner));
}

template <class T>
nb::object fresh(std::unique_ptr<T[]> block, std::vector<size_t> shape) {
    T* data = block.release();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(data, shape.size(), shape.data(), owner));
}

inline std::vector<std::vector<double>> columns(const std::vector<In1<double>>& arrays, double factor = 1) {
    std::vector<std::vector<double>> out;
    for (const auto& a : arrays) {
        auto& mine = out.emplace_back(a.data(), a.data() + a.shape(0));
        for (double& e : mine) e *= factor;
    }
    return out;
}

inline FinalSplit final_split(const std::string& mode, In1<double> thresholds, int outputs) {
    using Mode = FinalSplit::Mode;
    const Mode m = mode == "argmax"   ? Mode::argmax
                   : mode == "top2"   ? Mode::top2
                   : mode == "labels" ? Mode::labels
                                      : Mode::none;
    expect(m != Mode::none || mode == "none", "the split by outputs is none, argmax, top2 or labels");
    expect(m != Mode::argmax || outputs >= 1, "a split by the largest output needs one");
    expect(m != Mode::top2 || outputs >= 2, "a split by the two largest outputs needs two");
    expect(m != Mode::labels || ((int)thresholds.shape(0) == outputs && outputs <= 31),
           "labels need a threshold for each output, and at most 31");
    return {m, {thresholds.data(), thresholds.data() + thresholds.shape(0)}};
}

inline Budget budget(int64_t max_rows, double max_seconds, int64_t max_bytes, int threads) {
    expect(max_rows >= 0 && max_bytes >= 0 && max_seconds >= 0, "a budget is negative");
    expect(threads >= 1, "at least one thread is needed");
    return {max_rows, max_bytes, max_seconds, threads};
}

// The rounding floors times their factor.
inline std::vector<std::vector<double>> tolerances(const std::vector<In1<double>>& floors, double factor,
                                                   double geometric) {
    expect(factor >= 0 && geometric >= 0 && geometric < 1e-2, "tolerances are small and not negative");
    for (const auto& a : floors)
        for (size_t i = 0; i < a.shape(0); ++i) expect(a.data()[i] >= 0, "a rounding floor is negative or no number");
    return columns(floors, factor);
}

// What a RoundingWatch begins from: nothing, or one bound for each row of the first affine layer.
inline std::vector<double> watched_rows(const Chain& chain, In1<double> first) {
    const size_t n = first.shape(0);
    expect(n == 0 || (int)n == chain.map(0).rows, "a rounding bound for each row of the first layer is needed");
    for (size_t i = 0; i < n; ++i) expect(first.data()[i] >= 0, "a rounding bound is negative or no number");
    return {first.data(), first.data() + n};
}

// What it found, an array for each stage and one for the outputs; nothing where nothing was watched.
inline nb::object errors_of(const Chain& chain, const std::vector<std::vector<double>>& worst) {
    if (worst.empty()) return nb::none();
    nb::list out;
    for (size_t l = 0; l < worst.size(); ++l) {
        const size_t rows = (size_t)chain.map(l).rows;
        auto mine = std::make_unique<double[]>(rows);
        std::copy_n(worst[l].data(), rows, mine.get());
        out.append(fresh(std::move(mine), {rows}));
    }
    return nb::tuple(out);
}

}  // namespace pellucid
