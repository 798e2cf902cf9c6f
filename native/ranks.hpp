// The area under the ROC curve, from sorted scores.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace pellucid {

class RocArea {
  public:
    // P(a score of the second class exceeds one of the first) + half that they are equal; NaN without either.
    double operator()(const double* score, const uint8_t* second, size_t n) {
        below_.clear(), above_.clear();
        for (size_t i = 0; i < n; ++i) {
            if (std::isnan(score[i])) return NAN;
            (second[i] ? above_ : below_).push_back(key(score[i]));
        }
        if (below_.empty() || above_.empty()) return NAN;
        sort(below_), sort(above_);
        size_t lo = 0, hi = 0;  // of the first class: scores below, scores not above
        double wins = 0;
        for (uint64_t v : above_) {
            while (lo < below_.size() && below_[lo] < v) ++lo;
            hi = std::max(hi, lo);
            while (hi < below_.size() && below_[hi] <= v) ++hi;
            wins += (double)lo + 0.5 * (double)(hi - lo);
        }
        return wins / ((double)below_.size() * (double)above_.size());
    }

  private:
    std::vector<uint64_t> below_, above_, other_;

    // Ascending as numbers; -0 and 0 are one.
    static uint64_t key(double x) {
        const uint64_t bits = std::bit_cast<uint64_t>(x + 0.0);
        return bits >> 63 ? ~bits : bits | uint64_t(1) << 63;
    }

    // By digits of 11 bits, the lowest first.
    void sort(std::vector<uint64_t>& v) {
        if (v.size() < 512) {
            std::sort(v.begin(), v.end());
            return;
        }
        constexpr int BITS = 11, DIGITS = 6, SIZE = 1 << BITS;
        std::vector<uint32_t> counts((size_t)DIGITS * SIZE, 0);
        for (uint64_t x : v)
            for (int d = 0; d < DIGITS; ++d) ++counts[d * SIZE + (x >> (BITS * d) & (SIZE - 1))];
        other_.resize(v.size());
        for (int d = 0; d < DIGITS; ++d) {
            uint32_t* count = counts.data() + d * SIZE;
            if (count[v[0] >> (BITS * d) & (SIZE - 1)] == v.size()) continue;
            uint32_t sum = 0;
            for (int q = 0; q < SIZE; ++q) sum += std::exchange(count[q], sum);
            for (uint64_t x : v) other_[count[x >> (BITS * d) & (SIZE - 1)]++] = x;
            v.swap(other_);
        }
    }
};

}  // namespace pellucid
