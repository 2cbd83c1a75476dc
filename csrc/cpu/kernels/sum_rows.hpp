// The sum over the rows of a matrix: the gradient of a bias.
#pragma once

// y (n,) = sum over i of x_ij; x: (m, n), rows one after the other
#define MINILLM_SUM_ROWS_KERNELS(KERNEL) KERNEL(sum_rows, void(const float* x, float* y, int64_t m, int64_t n))
