// Softmax and its logarithm over rows of n scores.
#pragma once

// softmax_forward: y_i = exp(x_i - m) / sum_j exp(x_j - m), m = max x;  zeros for a row of -infinity
// softmax_backward: dx = p (dp - sum_j dp_j p_j)
// log_softmax_forward: y_i = x_i - m - ln sum_j exp(x_j - m);  log_softmax_backward: dx = dl - exp(l) sum_j dl_j
#define MINILLM_SOFTMAX_KERNELS(KERNEL)                                                                         \
  KERNEL(softmax_forward, void(const float* x, float* y, int64_t rows, int64_t n))                              \
  KERNEL(softmax_backward, void(const float* p, const float* dp, float* dx, int64_t rows, int64_t n))           \
  KERNEL(log_softmax_forward, void(const float* x, float* y, int64_t rows, int64_t n))                          \
  KERNEL(log_softmax_backward, void(const float* l, const float* dl, float* dx, int64_t rows, int64_t n))
