// AdamW over many arrays in one pass, and the sum of squares that clipping needs.
#pragma once

#include <cstdint>

namespace minillm {

// One parameter: n elements of its values, gradient and moments; whether they decay.
struct AdamTensor {
  int64_t n;
  float* theta;
  const float* g;
  float *m, *v;
  bool decays;
};

// Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2. `step`: lr / (1 - beta1^t);
// `root`: 1 / sqrt(1 - beta2^t); `kept`: 1 - lr lambda, what decay leaves of a value; `scale`: what clipping multiplies the
// gradient by; gains: 1 - beta, computed in float64 (a float32 beta2 of 0.999 would give 1 - beta2 only four digits).
struct AdamConstants {
  float gain1, gain2, eps, step, root, kept, scale;
};

}  // namespace minillm

#define MINILLM_OPTIM_KERNELS(KERNEL)                                                                     \
  KERNEL(adam_step, void(const AdamTensor* tensors, int64_t count, const AdamConstants& constants))       \
  KERNEL(sum_of_squares, double(const float* const* arrays, const int64_t* sizes, int64_t count))         \
  KERNEL(scale_arrays, void(float* const* arrays, const int64_t* sizes, int64_t count, float by))
