// Rows by code: a table of the codes met so far, with counts and means of what each row brings along.
//
// Codes are known by a hash of 128 bits and by a second one, a polynomial over the field of 2^61 - 1 elements, which is
// compared at every meeting: two codes that share the first hash but not the second are told, never added up.
#pragma once
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <vector>

namespace pellucid {

struct CodeHash {
    uint64_t a, b, check;
};

inline uint64_t mixed(uint64_t h) {  // MurmurHash3's finaliser
    h ^= h >> 33, h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33, h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

inline uint64_t times_mod(uint64_t a, uint64_t b) {  // modulo 2^61 - 1
    constexpr uint64_t P = (uint64_t(1) << 61) - 1;
#if defined(__SIZEOF_INT128__)
    const unsigned __int128 t = (unsigned __int128)a * b;
    uint64_t r = (uint64_t)(t & P) + (uint64_t)(t >> 61);
#else
    const uint64_t al = a & 0xffffffffu, ah = a >> 32, bl = b & 0xffffffffu, bh = b >> 32;
    const uint64_t low = al * bl, mid1 = al * bh, mid2 = ah * bl, high = ah * bh;
    const uint64_t carry = (low >> 32) + (mid1 & 0xffffffffu) + (mid2 & 0xffffffffu);
    const uint64_t lo = (carry << 32) | (low & 0xffffffffu), hi = high + (mid1 >> 32) + (mid2 >> 32) + (carry >> 32);
    uint64_t r = (lo & P) + (lo >> 61 | hi << 3);
    r = (r & P) + (r >> 61);
#endif
    return r >= P ? r - P : r;
}

inline CodeHash hash_of(const uint64_t* code, int words) {
    uint64_t a = 0x9e3779b97f4a7c15u + (uint64_t)words, b = 0xd1b54a32d192ed03u, check = 0x1d8e4e27c47d124fu >> 4;
    for (int w = 0; w < words; ++w) {
        a = mixed(a ^ code[w]) + 0x9e3779b97f4a7c15u;
        b = mixed((b + code[w]) * 0x9fb21c651e98df25u ^ b >> 28);
        for (uint64_t half : {code[w] >> 32, code[w] & 0xffffffffu})
            check = times_mod(check, 0x0b4b82e39f7d1a53u) + half + 1;
    }
    return {mixed(a), mixed(b), check};
}

class GroupTable {
  public:
    const int words, responses;
    const bool keeps_codes, has_weight, has_square, has_loss;
    std::vector<uint64_t> hash, codes;  // hash: a, b and check of each
    std::vector<int64_t> count, first;
    std::vector<double> weight, mean, square, loss;

    GroupTable(int words_, int responses_, bool codes_, bool weight_, bool square_, bool loss_)
        : words(words_),
          responses(responses_),
          keeps_codes(codes_),
          has_weight(weight_),
          has_square(square_),
          has_loss(loss_),
          slots_(1024, FREE) {}

    size_t size() const { return count.size(); }

    int64_t bytes() const {
        auto of = [](const auto& v) { return (int64_t)(v.capacity() * sizeof(v[0])); };
        return of(hash) + of(codes) + of(count) + of(first) + of(weight) + of(mean) + of(square) + of(loss) +
               of(slots_);
    }

    // Rows from number `start` on: their codes, responses y (n, responses), weights and losses (or null).
    // labels: (n,) the place of each row's code in the table.
    void add(const uint64_t* code, size_t n, const double* y, const double* w, const double* losses, int64_t start,
             int64_t* labels) {
        std::vector<CodeHash> hashes(std::min<size_t>(n, BATCH));
        for (size_t from = 0; from < n; from += BATCH) {
            const size_t to = std::min(n, from + BATCH);
            for (size_t i = from; i < to; ++i) {
                hashes[i - from] = hash_of(code + i * words, words);
                touch(hashes[i - from].a);
            }
            for (size_t i = from; i < to; ++i) {
                const size_t k = place(hashes[i - from], code + i * words, start + (int64_t)i);
                labels[i] = (int64_t)k;
                tell(k, y ? y + i * responses : nullptr, w ? w[i] : 1.0, losses ? losses[i] : 0.0);
            }
        }
    }

  private:
    static constexpr uint32_t FREE = UINT32_MAX;
    static constexpr size_t BATCH = 64;
    std::vector<uint32_t> slots_;

    void touch(uint64_t hash) const {
#if defined(__GNUC__) || defined(__clang__)
        __builtin_prefetch(slots_.data() + (hash & (slots_.size() - 1)));
#else
        (void)hash;
#endif
    }

    size_t place(const CodeHash& h, const uint64_t* code, int64_t row) {
        for (size_t at = h.a & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
            const uint32_t k = slots_[at];
            if (k == FREE) return insert(at, h, code, row);
            const uint64_t* mine = hash.data() + 3 * (size_t)k;
            if (mine[0] == h.a && mine[1] == h.b) {
                if (mine[2] != h.check) throw std::runtime_error("two codes share a hash of 128 bits");
                return k;
            }
        }
    }

    size_t insert(size_t at, const CodeHash& h, const uint64_t* code, int64_t row) {
        const size_t k = size();
        if (k >= FREE) throw std::length_error("more than 2^32 codes in one table");
        const uint64_t parts[3] = {h.a, h.b, h.check};
        append(hash, parts, 3);
        const int64_t none = 0;
        append(count, &none, 1), append(first, &row, 1);
        append(codes, code, keeps_codes ? words : 0);
        append(weight, nullptr, has_weight), append(mean, nullptr, responses);
        append(square, nullptr, has_square ? responses : 0), append(loss, nullptr, has_loss);
        slots_[at] = (uint32_t)k;
        if (4 * size() > 3 * slots_.size()) grow();
        return k;
    }

    // By a quarter where full: doubling would need up to three times the memory for a moment.
    template <class T>
    static void append(std::vector<T>& v, const std::type_identity_t<T>* from, int n) {
        if (v.size() + n > v.capacity()) v.reserve(v.size() + v.size() / 4 + 256 + (size_t)n);
        for (int i = 0; i < n; ++i) v.push_back(from ? from[i] : T(0));
    }

    void grow() {
        std::vector<uint32_t>().swap(slots_);
        size_t wanted = 1024;
        while (2 * size() > wanted) wanted *= 2;
        slots_.assign(wanted, FREE);
        for (size_t k = 0; k < size(); ++k) {
            size_t at = hash[3 * k] & (slots_.size() - 1);
            while (slots_[at] != FREE) at = (at + 1) & (slots_.size() - 1);
            slots_[at] = (uint32_t)k;
        }
    }

    // Weighted mean and sum of squared deviations (West 1979); rows of one value leave the mean exactly that.
    void tell(size_t k, const double* y, double w, double l) {
        const double before = has_weight ? weight[k] : (double)count[k], total = before + w;
        const bool is_first = count[k]++ == 0;
        if (has_weight) weight[k] = total;
        if (has_loss) loss[k] += w * l;
        if (!y) return;
        for (int r = 0; r < responses; ++r) {
            double& m = mean[k * responses + r];
            if (is_first || before == 0) {
                m = y[r];
            } else if (total > 0 && w > 0) {
                const double away = y[r] - m;
                if (has_square) square[k * responses + r] += before * w / total * away * away;
                m += away * (w / total);
            }
        }
    }
};

}  // namespace pellucid
