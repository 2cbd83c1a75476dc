// Layer norm and RMS norm of rows of d features.
#pragma once

#include <cstdint>

namespace minillm {

// x (rows, d), one row after the other. Layer norm: x^ = (x - mean) inverse, inverse = 1 / sqrt(variance + eps);
// RMS norm, where mean is null: x^ = x inverse, inverse = 1 / sqrt(mean(x^2) + eps). y = weight x^ + bias.
struct NormForward {
  int64_t rows, d;
  float eps;
  const float *x, *residual;   // with a residual (else null) x + residual is normalised, and kept in `total`
  const float *weight, *bias;  // (d,) or null
  float *y, *total;            // (rows, d)
  float *mean, *inverse;       // (rows,): what backward needs
};

struct NormBackward {
  int64_t rows, d;
  const float *x, *dy;         // (rows, d); x: what was normalised
  const float *weight;         // (d,) or null
  const float *mean, *inverse; // (rows,); mean: null for RMS norm
  float* dx;                   // (rows, d)
  float *dweight, *dbias;      // (d,) or null
};

}  // namespace minillm

#define MINILLM_NORM_KERNELS(KERNEL)                           \
  KERNEL(norm_forward, void(const NormForward& arguments))     \
  KERNEL(norm_backward, void(const NormBackward& arguments))
