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

// `panels` panels one after the other in memory: W * panels rows or columns, of which `width` are there; `depth` counts k.
template <class Element, int64_t W>
struct Panels {
  static constexpr int64_t TOGETHER = 512 / W;  // panels filled from one stretch of memory, half a page long
  static constexpr int64_t AHEAD = 4;           // k: memory is far away, so it is asked early

  // Floats that a panel takes: depth steps of W, then what stores may run over, less than LANES. (And neighbouring
  // panels, filled together, shouldn't lie a power of 2 apart: a cache holds few lines of such addresses.)
  static int64_t floats(int64_t depth) {
    const int64_t steps = (depth + Element::K - 1) / Element::K;
    return (steps * W + LANES - 1) / LANES * LANES + LANES;
  }

  static void pack(Source s, int64_t width, int64_t depth, int64_t size, float* panel) {
    if (s.across == 1)
      for (; width > 0; width -= TOGETHER * W, s.data += TOGETHER * W, panel += TOGETHER * size)
        straight(s, std::min(width, TOGETHER * W), depth, size, panel);
    else
      for (; width > 0; width -= W, s.data += W * s.across, panel += size) transposed(s, width, depth, panel);
  }

 private:
  // Rows that lie along memory (along == 1): transposed by squares, LANES rows at a time. While one panel's rows are
  // read, the next one's are fetched: too many rows for the processor to foresee.
  static void transposed(Source s, int64_t width, int64_t depth, float* panel) {
    constexpr int64_t STEP = LANES * Element::K;
    for (int64_t first = 0; first < W; first += LANES)
      for (int64_t k = 0; k < depth; k += STEP) {
        vec square[LANES];
        for (int64_t i = 0; i < LANES; ++i) {
          const float* row = s.data + (first + i) * s.across + k;
          square[i] = first + i < std::min(width, W) ? Element::along(row, depth - k) : vec{};
          if (first + i + W < width && first + i < W) prefetch(row + W * s.across, STEP);
        }
        transpose(square);
        const int64_t steps = std::min(LANES, (depth - k + Element::K - 1) / Element::K);
        for (int64_t i = 0; i < steps; ++i) put(panel + (k / Element::K + i) * W, first, square[i]);
      }
  }

  // Columns that lie along memory (across == 1): copied vector by vector, the same k of all panels at a time.
  static void straight(Source s, int64_t width, int64_t depth, int64_t size, float* panel) {
    for (int64_t k = 0; k < depth; k += Element::K) {
      for (int64_t ahead = k + AHEAD; ahead < std::min(k + AHEAD + Element::K, depth); ++ahead)
        prefetch(s.data + ahead * s.along, width);
      float* at = panel + k / Element::K * W;
      for (int64_t column = 0; column < width; column += W, at += size)
        for (int64_t first = 0; first < W; first += LANES)
          put(at, first, Element::across(s.data + k * s.along + column + first, s.along,
                                         std::min(W, width - column) - first, depth - k));
    }
  }

  // A vector of the panel. Where a panel is narrower than a vector, the store runs over into what is stored next.
  static void put(float* at, int64_t first, vec v) {
    if constexpr (W < LANES || W % LANES == 0)
      store(at + first, v);
    else
      store_up_to(at + first, v, W - first);
  }
};

}  // namespace minillm::ISA
