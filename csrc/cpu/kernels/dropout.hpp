// Dropout with a mask that is never stored: a function of its key, drawn again where it is needed.
#pragma once

#include <cstdint>

namespace minillm {

// Element i is kept if the i-th 32-bit word of the Philox4x64-10 stream with key `seed` and counter block `counter` is
// at least `threshold`, p 2^32: the definition of minillm/ops/dropout.py.
struct DropoutKey {
  uint64_t seed, counter, threshold;
};

}  // namespace minillm

// dropout: y_i = x_i scale where kept, x_i 0 elsewhere.   keep_mask: keep_i = 1 where kept, else 0.
#define MINILLM_DROPOUT_KERNELS(KERNEL)                                                                 \
  KERNEL(dropout, void(const float* x, float* y, int64_t n, const DropoutKey& key, float scale))        \
  KERNEL(keep_mask, void(bool* keep, int64_t n, const DropoutKey& key))
