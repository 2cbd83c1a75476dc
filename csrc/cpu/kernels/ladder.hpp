// The matrix product, C = A B, from three loops to nearly the fast one: csrc/README.md walks through the steps.
#pragma once

#include <cstdint>

// A (m, k), B (k, n), C (m, n), rows one after the other. `step` is one of 1 to LADDER_STEPS, else nothing is done.
#define MINILLM_LADDER_KERNELS(KERNEL)                                                                      \
  KERNEL(ladder, void(int step, const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k))

namespace minillm {
constexpr int LADDER_STEPS = 8;
}  // namespace minillm
