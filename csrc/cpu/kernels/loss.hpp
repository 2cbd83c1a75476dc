// Cross-entropy of rows of logits, and its gradient in the same place.
#pragma once

// For each row i of logits (rows, classes), targets (rows,):
//   losses_i = -ln p_it = ln sum_j exp(x_j - m) - (x_t - m),  p = softmax(x), m = max x;  0 where t == ignored
// and if `gradient`, logits_ij becomes scale (p_ij - [j == t]); 0 where t == ignored. Without it logits stay.
#define MINILLM_LOSS_KERNELS(KERNEL)                                                                              \
  KERNEL(cross_entropy_rows, void(float* logits, const int64_t* targets, double* losses, int64_t rows,           \
                                  int64_t classes, int64_t ignored, float scale, bool gradient))
