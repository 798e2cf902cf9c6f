// numpy arrays in and out.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

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

inline FinalSplit final_split(const std::string& mode, In1<double> thresholds) {
    using Mode = FinalSplit::Mode;
    const Mode m = mode == "argmax"   ? Mode::argmax
                   : mode == "top2"   ? Mode::top2
                   : mode == "labels" ? Mode::labels
                                      : Mode::none;
    return {m, {thresholds.data(), thresholds.data() + thresholds.shape(0)}};
}

inline std::vector<std::vector<double>> columns(const std::vector<In1<double>>& arrays, double factor = 1) {
    std::vector<std::vector<double>> out;
    for (const auto& a : arrays) {
        auto& mine = out.emplace_back(a.data(), a.data() + a.shape(0));
        for (double& e : mine) e *= factor;
    }
    return out;
}

}  // namespace pellucid
