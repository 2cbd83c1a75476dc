// Packing: a block of a matrix copied into panels, in the order in which the micro-kernel reads it.
//
// A panel holds W neighbouring rows (of A) or columns (of B), for k = 0, 1, ...: the W elements at k, then those at
// k + 1. For A, "across" is the row index and "along" is k; for B, "across" is the column index. Missing elements of
// the last panel are 0. With bfloat16 dot products an element is a pair (k, k + 1) of bfloat16 in 32 bits.
#pragma once

#include "kernels/gemm.hpp"
#include "kernels/gemm/bfloat16.hpp"
#include "kernels/gemm/transpose.hpp"

namespace minillm::ISA {

// Element (i, k) at data[i * across + k * along].
struct Source {
  const float* data;
  int64_t across, along;
};

// Floats: how far ahead memory is fetched into the cache, as more rows are read at a time than the processor foresees.
constexpr int64_t AHEAD = 64;

// One panel: `width` <= W rows, depth steps of Element::K each, the last perhaps not full; `depth` counts k.
template <class Element, int64_t W>
struct Panel {
  static constexpr int64_t CHUNKS = (W + LANES - 1) / LANES;

  // Rows that lie along memory (along == 1): transposed by squares, LANES rows at a time.
  static void transposed(Source s, int64_t width, int64_t depth, float* panel) {
    constexpr int64_t STEP = LANES * Element::K;
    for (int64_t first = 0; first < W; first += LANES)
      for (int64_t k = 0; k < depth; k += STEP) {
        vec square[LANES];
        for (int64_t i = 0; i < LANES; ++i) {
          const float* row = s.data + (first + i) * s.across + k;
          square[i] = first + i < width ? Element::along(row, depth - k) : vec{};
          if (first + i < width) __builtin_prefetch(row + AHEAD);
        }
        transpose(square);
        const int64_t steps = std::min(LANES, (depth - k + Element::K - 1) / Element::K);
        for (int64_t i = 0; i < steps; ++i) put(panel + (k / Element::K + i) * W, first, square[i]);
      }
  }

  // A vector of the panel. Where a panel is narrower than a vector, the store runs over into what is stored next.
  static void put(float* at, int64_t first, vec v) {
    if constexpr (W < LANES || W % LANES == 0)
      store(at + first, v);
    else
      store_up_to(at + first, v, W - first);
  }

  // Columns that lie along memory (across == 1): copied vector by vector.
  static void straight(Source s, int64_t width, int64_t depth, float* panel) {
    for (int64_t k = 0; k < depth; k += Element::K)
      for (int64_t chunk = 0; chunk < CHUNKS; ++chunk) {
        const int64_t first = chunk * LANES;
        put(panel + k / Element::K * W, first,
            Element::across(s.data + k * s.along + first, s.along, width - first, depth - k));
      }
  }

  static void pack(Source s, int64_t width, int64_t depth, float* panel) {
    if (s.across == 1)
      straight(s, width, depth, panel);
    else
      transposed(s, width, depth, panel);
  }
};

}  // namespace minillm::ISA
