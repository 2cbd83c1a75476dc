// A square of LANES x LANES 32-bit elements, transposed in registers.
#pragma once

#include "simd.hpp"

namespace minillm::ISA {

// Lanes of the two rows x and y, `step` apart, after their off-diagonal elements changed places.
template <int64_t STEP>
inline void exchange(vec& x, vec& y) {
  ivec upper, lower;
  for (int64_t i = 0; i < LANES; ++i) {
    upper[i] = (int32_t)(i & STEP ? LANES + i - STEP : i);
    lower[i] = (int32_t)(i & STEP ? LANES + i : i + STEP);
  }
  const vec new_x = __builtin_shuffle(x, y, upper), new_y = __builtin_shuffle(x, y, lower);
  x = new_x;
  y = new_y;
}

template <int64_t STEP>
inline void exchange_all(vec (&rows)[LANES]) {
  if constexpr (STEP < LANES) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < LANES; ++i)
      if (!(i & STEP)) exchange<STEP>(rows[i], rows[i + STEP]);
    exchange_all<2 * STEP>(rows);
  }
}

// Blocks of 1, 2, 4, ... elements off the diagonal change places, log2(LANES) times.
inline void transpose(vec (&rows)[LANES]) { exchange_all<1>(rows); }

}  // namespace minillm::ISA
