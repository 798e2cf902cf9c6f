// Packs of doubles, for files that are compiled once for each instruction set (see kernels.hpp).
#pragma once
#include <cstdint>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

namespace pellucid {
namespace {

#if defined(__AVX512F__)
constexpr int W = 8;
#elif defined(__AVX__)
constexpr int W = 4;
#else
constexpr int W = 2;
#endif

#if defined(__GNUC__) || defined(__clang__)
typedef double Pack __attribute__((vector_size(W * sizeof(double)), aligned(8), may_alias));
inline Pack load(const double* p) { return *reinterpret_cast<const Pack*>(p); }
inline void store(double* p, Pack a) { *reinterpret_cast<Pack*>(p) = a; }
inline Pack all(double a) { return a - Pack{}; }
inline Pack smaller(Pack a, Pack b) { return a < b ? a : b; }
inline Pack larger(Pack a, Pack b) { return a > b ? a : b; }
#else
struct Pack {
    double v[W];
};
inline Pack load(const double* p) {
    Pack r;
    for (int i = 0; i < W; ++i) r.v[i] = p[i];
    return r;
}
inline void store(double* p, Pack a) {
    for (int i = 0; i < W; ++i) p[i] = a.v[i];
}
inline Pack all(double a) {
    Pack r;
    for (int i = 0; i < W; ++i) r.v[i] = a;
    return r;
}
#define PELLUCID_OP(name, expression)            \
    inline Pack name(Pack a, Pack b) {           \
        Pack r;                                  \
        for (int i = 0; i < W; ++i) {            \
            const double p = a.v[i], q = b.v[i]; \
            r.v[i] = expression;                 \
        }                                        \
        return r;                                \
    }
PELLUCID_OP(operator+, p + q)
PELLUCID_OP(operator-, p - q)
PELLUCID_OP(operator*, p* q)
PELLUCID_OP(smaller, p < q ? p : q)
PELLUCID_OP(larger, p > q ? p : q)
inline Pack& operator+=(Pack& a, Pack b) { return a = a + b; }
#endif

// Bit i: a[i] > b[i].
inline unsigned greater_bits(Pack a, Pack b) {
#if defined(__AVX512F__)
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ);
#elif defined(__AVX__) && (defined(__GNUC__) || defined(__clang__))
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_GT_OQ));
#elif defined(__SSE2__) && (defined(__GNUC__) || defined(__clang__))
    return (unsigned)_mm_movemask_pd(_mm_cmpgt_pd((__m128d)a, (__m128d)b));
#else
    double p[W], q[W];
    store(p, a);
    store(q, b);
    unsigned bits = 0;
    for (int i = 0; i < W; ++i) bits |= (unsigned)(p[i] > q[i]) << i;
    return bits;
#endif
}

}  // namespace
}  // namespace pellucid
