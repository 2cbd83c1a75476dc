// Dropout: a mask that is a function of its key, and what it does to an array.
#pragma once

#include <cstdint>

namespace minillm {

// Element i is kept if the i-th 32-bit word of the Philox4x64-10 stream with key `seed` and counter block `counter` is
// at least `threshold`, p 2^32: the definition of minillm/ops/dropout.py.
struct DropoutKey {
  uint64_t seed, counter, threshold;
};

}  // namespace minillm

// keep_mask: keep_i = 1 where element i is kept, else 0.   dropout: y_i = x_i scale where kept, x_i 0 elsewhere.
#define MINILLM_DROPOUT_KERNELS(KERNEL)                                                       \
  KERNEL(keep_mask, void(bool* keep, int64_t n, const DropoutKey& key))                       \
  KERNEL(dropout, void(const float* x, const bool* keep, float* y, int64_t n, float scale))
