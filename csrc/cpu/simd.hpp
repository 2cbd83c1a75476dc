// Vectors of floats as wide as the instruction set this file is compiled for has them.
//
// GCC's and Clang's vector types add, multiply and compare element by element, so the kernels are written once:
// ISA is portable (4 floats: SSE2, NEON), avx2 (8) or avx512 and avx512bf16 (16).
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace minillm::ISA {

#if defined(__AVX512F__)
constexpr int64_t LANES = 16;
constexpr int VECTOR_REGISTERS = 32;
#elif defined(__AVX2__)
constexpr int64_t LANES = 8;
constexpr int VECTOR_REGISTERS = 16;
#else
constexpr int64_t LANES = 4;
constexpr int VECTOR_REGISTERS = 16;
#endif

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(LANES * sizeof(int32_t))));

// x in every lane, bit by bit.
inline vec broadcast(float x) {
#if defined(__AVX512F__)
  return (vec)_mm512_set1_ps(x);
#elif defined(__AVX2__)
  return (vec)_mm256_set1_ps(x);
#else
  return x - vec{};
#endif
}

inline vec load(const float* p) {
  vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void store(float* p, vec v) { std::memcpy(p, &v, sizeof v); }

#if defined(__AVX2__) && !defined(__AVX512F__)
inline __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

// The first n < LANES elements; the others are 0 and their memory isn't touched.
inline vec load_first(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
  return (vec)_mm256_maskload_ps(p, first_lanes(n));
#else
  vec v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}

inline void store_first(float* p, vec v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, first_lanes(n), (__m256)v);
#else
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// The first n elements, which may be none or more than LANES.
inline vec load_up_to(const float* p, int64_t n) { return n >= LANES ? load(p) : load_first(p, n > 0 ? n : 0); }

inline void store_up_to(float* p, vec v, int64_t n) {
  if (n >= LANES)
    store(p, v);
  else if (n > 0)
    store_first(p, v, n);
}

// 0, 1, 2, ...: a constant in memory, where GCC 12 would put a vector filled lane by lane together anew each time.
inline ivec lane_numbers() {
  static constexpr int32_t NUMBERS[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  ivec v;
  std::memcpy(&v, NUMBERS, sizeof v);
  return v;
}

// The cache lines of n floats from p on are asked for, into the L2 cache: it waits for more lines at a time than L1 does.
// Inlined always: a call of a function that does nothing else seems without effect to GCC 12, which leaves it out.
[[gnu::always_inline]] inline void prefetch(const float* p, int64_t n) {
  constexpr int64_t LINE = 64 / sizeof(float);
  for (int64_t i = 0; i < n; i += LINE) __builtin_prefetch(p + i, 0, 2);
}

// The first n lanes of v, the others 0: for sums over the end of a row.
inline vec only_first(vec v, int64_t n) {
  return lane_numbers() < (int32_t)n ? v : vec{};
}

// NaN in a or b gives b's element, as the x86 instruction does: max(x, largest) keeps a NaN out of `largest`, max(0, x)
// passes it on.
inline vec max(vec a, vec b) { return a > b ? a : b; }
inline vec min(vec a, vec b) { return a < b ? a : b; }

inline vec sqrt(vec v) {
  vec out;
  for (int64_t i = 0; i < LANES; ++i) out[i] = __builtin_sqrtf(v[i]);
  return out;
}

// Each lane's element changes places with that of the lane `distance` away, a power of 2.
template <class Vector>
inline Vector exchanged(Vector v, int32_t distance) {
  return __builtin_shuffle(v, lane_numbers() ^ distance);
}

// Added in halves, not one after the other: the order is fixed and the error grows with log2(LANES).
template <class Vector>
inline auto sum(Vector v) {
  for (int32_t half = LANES / 2; half > 0; half /= 2) v += exchanged(v, half);
  return v[0];
}

// Vectors x and y folded into one: lanes without the bit `distance` get x's element plus that `distance` away, those
// with it y's.
template <class Vector>
inline Vector folded(Vector x, Vector y, int32_t distance) {
  const ivec lane = lane_numbers(), of_y = (lane & distance) != 0 ? ivec{} + (int32_t)LANES : ivec{};
  return __builtin_shuffle(x, y, lane + of_y) + __builtin_shuffle(x, y, (lane ^ distance) + of_y);
}

// Lane i: the sum of rows[i]. Cheaper than LANES times `sum`.
template <class Vector>
inline Vector sum_each(Vector (&rows)[LANES]) {
#pragma GCC unroll 4
  for (int32_t half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int32_t i = 0; i < half; ++i) rows[i] = folded(rows[i], rows[i + half], half);
  return rows[0];
}

inline float largest(vec v) {
  for (int32_t half = LANES / 2; half > 0; half /= 2) v = max(exchanged(v, half), v);
  return v[0];
}

// p 2^n for whole n, also where 2^n alone is too large or small for a float.
inline vec times_power_of_2(vec p, vec n) {
#if defined(__AVX512F__)
  return (vec)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
  const ivec power = __builtin_convertvector(n == n ? n : vec{}, ivec);
  const ivec half = power >> 1;
  const ivec low = (half + 127) << 23, high = (power - half + 127) << 23;
  return p * (vec)low * (vec)high;
#endif
}

// e^(x - n ln 2) for the whole number n nearest to x / ln 2, by its Taylor polynomial of degree 7.
inline vec exp_of_rest(vec x, vec n) {
  const vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts, the first short: exact products
  vec p = broadcast(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  return p * r * r + r + 1.0f;
}

// Adding it rounds to a whole number, whose last bits are then those of the sum: 1.5 * 2^23.
constexpr float ROUNDS = 12582912.0f;

// e^x to about 1 unit in the last place; 0 below -104, infinity above 88.8, NaN for NaN.
inline vec exp(vec x) {
  const vec clipped = min(broadcast(89.0f), max(broadcast(-104.0f), x));
  const vec n = (clipped * 1.44269504f + ROUNDS) - ROUNDS;
  return times_power_of_2(exp_of_rest(clipped, n), n);
}

// e^x for x from -87 to 87, or NaN: 2^n fits a float, so it is made from its bits alone.
inline vec exp_within_87(vec x) {
  const vec rounded = x * 1.44269504f + (ROUNDS + 127);  // the last bits are n + 127, a float's exponent
  return exp_of_rest(x, rounded - (ROUNDS + 127)) * (vec)((ivec)rounded << 23);
}

}  // namespace minillm::ISA
