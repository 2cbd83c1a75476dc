// What the micro-kernel multiplies: float32, float32 rounded to bfloat16, or pairs of bfloat16.
//
// bfloat16 is the upper half of a float32: the same exponent, 8 bits of precision. Each kind says how many k one packed
// element holds (K), how to read elements along k or across it, and what multiply_add does with them.
#pragma once

#include "simd.hpp"

namespace minillm::ISA {

struct Float32 {
  static constexpr int64_t K = 1;
  static vec along(const float* p, int64_t left) { return load_up_to(p, left); }
  static vec across(const float* p, int64_t, int64_t width, int64_t) { return load_up_to(p, width); }
  static vec multiply_add(vec a, vec b, vec sum) { return a * b + sum; }
};

// To the nearest bfloat16, ties to even; NaN stays NaN.
inline vec round_to_bfloat16(vec v) {
  const ivec bits = (ivec)v;
  const ivec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & (int32_t)0xffff0000;
  return v == v ? (vec)rounded : v;
}

// The same numbers as with bfloat16 dot products, where the processor has none.
struct RoundedToBfloat16 : Float32 {
  static vec along(const float* p, int64_t left) { return round_to_bfloat16(load_up_to(p, left)); }
  static vec across(const float* p, int64_t, int64_t width, int64_t) { return round_to_bfloat16(load_up_to(p, width)); }
};

#ifdef __AVX512BF16__
struct Bfloat16Pairs {
  static constexpr int64_t K = 2;

  static vec along(const float* p, int64_t left) {
    return (vec)_mm512_cvtne2ps_pbh((__m512)load_up_to(p + LANES, left - LANES), (__m512)load_up_to(p, left));
  }

  static vec across(const float* p, int64_t next_k, int64_t width, int64_t left) {
    const __m512i even = widened(load_up_to(p, width));
    const __m512i odd = left > 1 ? widened(load_up_to(p + next_k, width)) : __m512i{};
    return (vec)_mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
  }

  // a_0 b_0 + a_1 b_1 + sum in each lane
  static vec multiply_add(vec a, vec b, vec sum) { return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b); }

 private:
  static __m512i widened(vec v) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v)); }
};
using Bfloat16 = Bfloat16Pairs;
#else
using Bfloat16 = RoundedToBfloat16;
#endif

}  // namespace minillm::ISA
