// Matrix products, C = A B, by blocks that fit the caches (Goto & van de Geijn 2008).
#pragma once

#include <cstdint>

namespace minillm {

// One matrix in memory: element (i, j) is at data[i * row + j * column]. A transpose only swaps row and column.
// One of the two strides is 1.
struct Matrix {
  const float* data;
  int64_t row, column;
};

enum class Activation : int { none, gelu, gelu_tanh, silu };
enum class Precision : int { float32, bfloat16 };  // bfloat16: operands rounded to it, products summed in float32

// C (m, n) = f(A (m, k) B (k, n) + bias) + residual. All sums in float32, each in an order that only k decides.
struct Product {
  int64_t m, n, k;
  Matrix a, b;
  float* c;                                 // rows of n, one after the other
  Precision precision = Precision::float32;
  bool accumulate = false;                  // add to what C holds; an epilogue sees the total
  const float* bias = nullptr;              // (n,) or none
  Activation activation = Activation::none;
  float* before = nullptr;                  // (m, n): what f was applied to, which its derivative needs; or none
  const float* residual = nullptr;          // (m, n) or none
};

}  // namespace minillm

// gemm: one product by the whole team.
// gemm_batch: `count` products, the matrices of each a_step, b_step and m n elements after the one before.
#define MINILLM_GEMM_KERNELS(KERNEL)                                                              \
  KERNEL(gemm, void(const Product& product))                                                      \
  KERNEL(gemm_batch, void(const Product& first, int64_t count, int64_t a_step, int64_t b_step))
