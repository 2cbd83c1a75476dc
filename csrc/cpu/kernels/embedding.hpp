// Embedding: rows of the table for tokens, and rows of gradients added up by token, without atomics.
#pragma once

// take_rows: out_i = row ids_i of weight (rows, d), for i < count; false if one isn't there (out is then unfinished).
//
// sum_row_groups: group g is the rows order[starts[g]] ... order[starts[g + 1] - 1] of dy (n, d): out_g = their sum, in
// that order. starts: (groups + 1,). Each group is one thread's, so the result doesn't depend on their number.
#define MINILLM_EMBEDDING_KERNELS(KERNEL)                                                                       \
  KERNEL(take_rows, bool(const float* weight, const int64_t* ids, float* out, int64_t rows, int64_t count,      \
                         int64_t d))                                                                            \
  KERNEL(sum_row_groups, void(const float* dy, const int64_t* order, const int64_t* starts, float* out,         \
                              int64_t groups, int64_t d))
