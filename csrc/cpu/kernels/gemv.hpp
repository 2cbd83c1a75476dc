// Products of few rows with a large matrix, as generating text needs them: reading the matrix is nearly all the work.
#pragma once

#include <cstdint>

#include "kernels/gemm.hpp"

namespace minillm {

constexpr int64_t GEMV_ROWS = 8;           // rows of x that share one pass over the weights
constexpr int64_t GEMV_INPUTS = 1 << 16;   // of int8: sums of so many products fit 32 bits

// y = f(x W^T + b) + r
template <class Weight>
struct Gemv {
  int64_t rows, outputs, inputs;
  const float* x;         // (rows, inputs)
  const Weight* w;        // (outputs, inputs)
  const float* scale;     // (outputs): W = scale w, for int8 only
  const float* bias;      // (outputs), or null
  const float* residual;  // (rows, outputs), or null
  Activation activation;
  float* y;               // (rows, outputs)
};

}  // namespace minillm

// Weights in float32, bfloat16 (their upper halves) and int8. int8 rounds each row of x to int8, too, by its own scale.
#define MINILLM_GEMV_KERNELS(KERNEL)                         \
  KERNEL(gemv_float32, void(const Gemv<float>& g))           \
  KERNEL(gemv_bfloat16, void(const Gemv<uint16_t>& g))       \
  KERNEL(gemv_int8, void(const Gemv<int8_t>& g))             \
  KERNEL(read_floats, float(const float* x, int64_t n))
