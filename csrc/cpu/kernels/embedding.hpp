// The gradient of an embedding: rows of dy added up by the token they belong to, without atomics.
#pragma once

// Group g is the rows order[starts[g]] ... order[starts[g + 1] - 1] of dy (n, d): out_g = their sum, in that order.
// starts: (groups + 1,). Each group is one thread's, so the result doesn't depend on their number.
#define MINILLM_EMBEDDING_KERNELS(KERNEL)                                                                       \
  KERNEL(sum_row_groups, void(const float* dy, const int64_t* order, const int64_t* starts, float* out,         \
                              int64_t groups, int64_t d))
