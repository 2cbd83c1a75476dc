// What kernels over rows share: sums whose error doesn't grow with the length, and the largest element.
#pragma once

#include <algorithm>
#include <limits>

#include "simd.hpp"

namespace minillm::ISA {

// f(j, left) for j = 0, LANES, 2 LANES ...: `left` elements of the vector at j are in the row. Where all are, `left` is
// a constant to the compiler, and the tests for the row's end disappear.
template <class F>
inline void for_vectors(int64_t n, F f) {
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) f(j, LANES);
  if (j < n) f(j, n - j);
}

constexpr int64_t SUMS = 4;  // side by side: one alone would wait for each addition

// Sum over j of f(j, left), a vector whose lanes past `left` are 0; in blocks, so that the error doesn't grow with n.
template <class F>
inline double sum_over(int64_t n, F f) {
  constexpr int64_t BLOCK = 32 * LANES;
  double total = 0;
  for (int64_t block = 0; block < n; block += BLOCK) {
    const int64_t end = std::min(block + BLOCK, n);
    vec part[SUMS] = {};
    int64_t j = block;
    for (; j + SUMS * LANES <= end; j += SUMS * LANES)
#pragma GCC unroll 4
      for (int64_t i = 0; i < SUMS; ++i) part[i] += f(j + i * LANES, LANES);
    for (; j + LANES <= end; j += LANES) part[0] += f(j, LANES);
    if (j < end) part[1] += f(j, end - j);
    total += sum((part[0] + part[1]) + (part[2] + part[3]));
  }
  return total;
}

// The largest element, at least the lowest finite number: exp(x - m) is 0, not NaN, in a row of -infinity.
inline float row_max(const float* x, int64_t n) {
  const vec lowest = broadcast(std::numeric_limits<float>::lowest());
  vec m[SUMS] = {lowest, lowest, lowest, lowest};
  int64_t j = 0;
  for (; j + SUMS * LANES <= n; j += SUMS * LANES)
#pragma GCC unroll 4
    for (int64_t i = 0; i < SUMS; ++i) m[i] = max(load(x + j + i * LANES), m[i]);
  for (; j + LANES <= n; j += LANES) m[0] = max(load(x + j), m[0]);
  float result = largest(max(max(m[0], m[1]), max(m[2], m[3])));
  for (; j < n; ++j) result = x[j] > result ? x[j] : result;
  return result;
}

}  // namespace minillm::ISA
