// What kernels over rows share: sums whose error doesn't grow with the length, and the largest element.
#pragma once

#include <limits>

#include "simd.hpp"

namespace minillm::ISA {

// f(j, n - j) for j = 0, LANES, 2 LANES ...: the vector at j has n - j elements (or more than LANES).
template <class F>
inline void for_vectors(int64_t n, F f) {
  for (int64_t j = 0; j < n; j += LANES) f(j, n - j);
}

// Sum over j of f(j, n - j), a vector whose lanes past n are 0; in blocks, so that the error doesn't grow with n.
template <class F>
inline double sum_over(int64_t n, F f) {
  constexpr int64_t BLOCK = 32 * LANES;
  double total = 0;
  for (int64_t block = 0; block < n; block += BLOCK) {
    vec part{};
    for (int64_t j = block; j < std::min(block + BLOCK, n); j += LANES) part += f(j, n - j);
    total += sum(part);
  }
  return total;
}

// The largest element, at least the lowest finite number: exp(x - m) is 0, not NaN, in a row of -infinity.
inline float row_max(const float* x, int64_t n) {
  vec m = broadcast(std::numeric_limits<float>::lowest());
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) m = max(load(x + j), m);
  float result = largest(m);
  for (; j < n; ++j) result = x[j] > result ? x[j] : result;
  return result;
}

}  // namespace minillm::ISA
