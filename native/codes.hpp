// Packed codes: making them, reading them, finding them.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "chain.hpp"

namespace pellucid {

inline Packing packing_of(const int64_t* pieces, int columns) {
    Packing packing;
    for (int c = 0; c < columns; ++c) packing.add(pieces[c]);
    return packing;
}

template <class T>
void unpack(const Packing& packing, const uint64_t* codes, size_t n, T* out) {
    const size_t columns = packing.places.size();
    for (size_t k = 0; k < n; ++k, codes += packing.words, out += columns)
        for (size_t c = 0; c < columns; ++c) {
            const Place at = packing.places[c];
            out[c] = (T)(codes[at.word] >> at.shift & ((uint64_t(1) << packing.widths[c]) - 1));
        }
}

template <class T>
void pack(const Packing& packing, const T* pieces, size_t n, uint64_t* out) {
    const size_t columns = packing.places.size();
    std::fill_n(out, n * packing.words, uint64_t(0));
    for (size_t k = 0; k < n; ++k, pieces += columns, out += packing.words)
        for (size_t c = 0; c < columns; ++c)
            out[packing.places[c].word] |= (uint64_t)pieces[c] << packing.places[c].shift;
}

inline uint64_t hash_code(const uint64_t* code, int words) {
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (int w = 0; w < words; ++w) {
        h = (h ^ code[w]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

// For each query the first row of `codes` that equals it, or -1.
inline void match(const uint64_t* codes, size_t n, int words, const uint64_t* queries, size_t m, int64_t* out) {
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    std::vector<int64_t> table(size, -1);
    const size_t bytes = words * sizeof(uint64_t);
    auto find = [&](const uint64_t* code) -> int64_t& {
        size_t at = hash_code(code, words) & (size - 1);
        while (table[at] >= 0 && std::memcmp(codes + table[at] * words, code, bytes) != 0) at = (at + 1) & (size - 1);
        return table[at];
    };
    for (size_t k = 0; k < n; ++k) {
        int64_t& slot = find(codes + k * words);
        if (slot < 0) slot = (int64_t)k;
    }
    for (size_t q = 0; q < m; ++q) out[q] = find(queries + q * words);
}

// Codes of points by a plain forward pass: the piece is the number of breakpoints t <= z, the winner the first of
// equals.
class CodesOf {
  public:
    explicit CodesOf(const Chain& chain) : chain_(chain), k_(kernels()) {
        size_t wide = (size_t)std::max(chain.inputs, 1);
        for (const auto& s : chain.stages) wide = std::max({wide, (size_t)s->in.ld, (size_t)s->outputs});
        z_.resize(3 * wide);
        s_.resize(3 * wide);
        lds_ = (int)wide;
        columns_.resize(wide);
        for (size_t i = 0; i < wide; ++i) columns_[i] = (int)i;
    }

    void run(const double* x, size_t n, uint64_t* out) {
        const int words = chain_.packing.words;
        std::fill_n(out, n * words, uint64_t(0));
        for (size_t i = 0; i < n; i += 3)
            three(x + i * chain_.inputs, (int)std::min<size_t>(3, n - i), out + i * words);
    }

  private:
    const Chain& chain_;
    const Kernels& k_;
    std::vector<double> z_, s_, spread_;
    std::vector<int> columns_;
    int lds_ = 0;

    // The kernels work on three columns, so points go through in threes. Column 2 gets the bias from the kernel.
    void three(const double* x, int n, uint64_t* out) {
        for (int i = 0; i < chain_.inputs; ++i)
            for (int p = 0; p < 3; ++p) s_[(size_t)p * lds_ + i] = p < n ? x[p * chain_.inputs + i] : 0;
        int width = chain_.inputs;
        for (size_t l = 0; l < chain_.stages.size(); ++l) {
            const Stage& s = *chain_.stages[l];
            s.in.product(k_, columns_.data(), width, s_.data(), lds_, spread_, z_.data());
            for (int p = 0; p < 2; ++p)
                for (int i = 0; i < s.in.rows; ++i) z_[(size_t)p * s.in.ld + i] += s.in.bias[i];
            for (int p = 0; p < n; ++p) apply(s, l, p, out + (size_t)p * chain_.packing.words);
            width = s.outputs;
        }
    }

    // ReLU and its like, whose code bits stand side by side: no branches.
    void apply_relu(const Stage& s, int first, int p, uint64_t* code) {
        const double* z = z_.data() + (size_t)p * s.in.ld;
        const double* level = s.level.data();
        double* out = s_.data() + (size_t)p * lds_;
        for (int i = 0; i < s.outputs; ++i) out[i] = z[i] >= level[i] ? z[i] : 0.0;
        for (int i = 0; i < s.outputs;) {
            const int bit = first + i, n = std::min(64 - bit % 64, s.outputs - i);
            uint64_t bits = 0;
            for (int q = 0; q < n; ++q) bits |= (uint64_t)(z[i + q] >= level[i + q]) << (63 - q);
            code[bit / 64] |= bits >> (bit % 64);
            i += n;
        }
    }

    void apply(const Stage& s, size_t l, int p, uint64_t* code) {
        if (s.zero_below && s.same_above && chain_.first_bit[l] >= 0)
            return apply_relu(s, chain_.first_bit[l], p, code);
        const double* z = z_.data() + (size_t)p * s.in.ld;
        for (int i = 0; i < s.outputs; ++i) {
            int piece = 0;
            double value;
            if (s.kind == Stage::Kind::simple) {
                piece = z[i] >= s.level[i];
                value = s.slope[piece][i] * z[i] + s.offset[piece][i];
            } else if (s.kind == Stage::Kind::pieces) {
                piece = (int)(std::upper_bound(s.breaks.begin() + s.ptr[i], s.breaks.begin() + s.ptr[i + 1], z[i]) -
                              (s.breaks.begin() + s.ptr[i]));
                const int at = s.ptr[i] + i + piece;
                value = s.slopes[at] * z[i] + s.offsets[at];
            } else {
                const int* members = s.members.data() + s.ptr[i];
                for (int b = 1; b < s.ptr[i + 1] - s.ptr[i]; ++b)
                    if (z[members[b]] > z[members[piece]]) piece = b;
                value = z[members[piece]];
            }
            s_[(size_t)p * lds_ + i] = value;
            const int column = chain_.column[l][i];
            if (column >= 0)
                code[chain_.packing.places[column].word] |= (uint64_t)piece << chain_.packing.places[column].shift;
        }
    }
};

}  // namespace pellucid
