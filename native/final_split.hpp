#pragma once
#include <vector>

namespace pellucid {

// How regions are divided by the outputs y.
struct FinalSplit {
    enum class Mode { none, argmax, top2, labels } mode = Mode::none;
    std::vector<double> thresholds;  // labels: bit j of `first` is set where y_j > thresholds[j]
};

}  // namespace pellucid
