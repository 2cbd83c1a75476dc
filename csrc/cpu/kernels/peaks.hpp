// Loops that do nothing but reach a limit of the machine: what the other kernels are measured against.
#pragma once

#include <cstdint>

// peak_fma:  multiply-adds of float32 in registers, `rounds` of them in each of many independent sums, on every thread.
// peak_bf16: the same with the bfloat16 multiply-add of gemm.cpp. Both return the floating-point operations done.
// stream_read, stream_copy, stream_triad: sum of x; y = x; y = x + s z, over n floats cut among the threads, `rounds`
//   times over (McCalpin 1995). A thread touches the same part each time, so small arrays stay in its caches.
#define MINILLM_PEAKS_KERNELS(KERNEL)                                                                        \
  KERNEL(peak_fma, double(int64_t rounds))                                                                   \
  KERNEL(peak_bf16, double(int64_t rounds))                                                                  \
  KERNEL(stream_read, void(const float* x, int64_t n, int64_t rounds))                                       \
  KERNEL(stream_copy, void(const float* x, float* y, int64_t n, int64_t rounds))                             \
  KERNEL(stream_triad, void(const float* x, const float* z, float* y, float s, int64_t n, int64_t rounds))
