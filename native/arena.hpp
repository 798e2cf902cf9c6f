// Memory for what lives as long as a part of a depth-first walk: taken in turn, given back down to a mark.
#pragma once
#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace pellucid {

class Arena {
  public:
    struct Mark {
        size_t block = 0, used = 0;
    };

    explicit Arena(size_t block = size_t(1) << 15) : block_(block) {}

    double* take(size_t n) {
        n = (n + 3) & ~size_t(3);
        while (at_.block >= blocks_.size() || at_.used + n > blocks_[at_.block].size) next(n);
        double* p = blocks_[at_.block].data.get() + at_.used;
        at_.used += n;
        return p;
    }
    template <class T>
    T* take_as(size_t n) {
        static_assert(sizeof(T) <= 2 * sizeof(double) && alignof(T) <= alignof(double));
        return reinterpret_cast<T*>(take((n * sizeof(T) + sizeof(double) - 1) / sizeof(double)));
    }

    Mark mark() const { return at_; }
    void release(Mark m) { at_ = m; }
    size_t bytes() const {
        size_t sum = 0;
        for (const auto& b : blocks_) sum += b.size * sizeof(double);
        return sum;
    }

  private:
    struct Block {
        std::unique_ptr<double[]> data;
        size_t size;
    };
    size_t block_;
    std::vector<Block> blocks_;
    Mark at_;

    // A later block that is too small is replaced: nothing of it is in use.
    void next(size_t n) {
        const size_t b = blocks_.empty() ? 0 : at_.block + (at_.used > 0);
        const size_t size = std::max(n, block_);
        if (b >= blocks_.size())
            blocks_.push_back({std::unique_ptr<double[]>(new double[size]), size});
        else if (blocks_[b].size < n)
            blocks_[b] = {std::unique_ptr<double[]>(new double[size]), size};
        at_ = {b, 0};
    }
};

}  // namespace pellucid
