// Activation functions of n elements, and their derivatives times the incoming gradient.
#pragma once

// forward: y = f(x); backward: dx = dy f'(x)
#define MINILLM_ACTIVATION_KERNELS(KERNEL)                                                     \
  KERNEL(gelu_forward, void(const float* x, float* y, int64_t n))                              \
  KERNEL(gelu_backward, void(const float* x, const float* dy, float* dx, int64_t n))           \
  KERNEL(gelu_tanh_forward, void(const float* x, float* y, int64_t n))                         \
  KERNEL(gelu_tanh_backward, void(const float* x, const float* dy, float* dx, int64_t n))      \
  KERNEL(silu_forward, void(const float* x, float* y, int64_t n))                              \
  KERNEL(silu_backward, void(const float* x, const float* dy, float* dx, int64_t n))
