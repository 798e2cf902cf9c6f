// A loop over independent pieces of work, on several threads.
#pragma once
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace pellucid {

// work(0) .. work(n - 1), begun in this order; it must not throw.
template <class Work>
void in_parallel(int threads, size_t n, Work work) {
    std::atomic<size_t> next{0};
    auto run = [&] {
        for (size_t i = next++; i < n; i = next++) work(i);
    };
    std::vector<std::thread> others;
    try {
        for (int t = 1; t < threads && (size_t)t < n; ++t) others.emplace_back(run);
    } catch (const std::system_error&) {  // no more threads to be had: go on with those there are
    }
    run();
    for (auto& t : others) t.join();
}

}  // namespace pellucid
