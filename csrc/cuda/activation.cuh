// GELU and its tanh form (Hendrycks & Gimpel 2016, section 2) and SiLU (Elfwing et al. 2017): value and slope.
//
// As (1 + tanh u) / 2 = s(2u) for the logistic function s, gelu_tanh(x) = x s(2u) and silu(x) = x s(x).
#pragma once

#include "common.cuh"

constexpr float TWO_SQRT_2_OVER_PI = 1.5957691216f, CUBIC = 0.044715f;
constexpr float ONE_OVER_SQRT_2_PI = 0.3989422804f;

__device__ __forceinline__ float logistic(float z) { return 1.0f / (1.0f + __expf(-z)); }

// The normal distribution Phi and its density phi at x. For t = |x| the tail Phi(-t) is phi(t) R(t); R is called Mills'
// ratio, and p / q are the polynomials of csrc/cpu/kernels/activation_formulas.hpp, with a relative error of at most
// 5.5e-9. Phi(x) is the tail or 1 minus it: nothing cancels, and one exponential serves both, where erff needs its own.
struct Normal {
  float distribution, density;
};

__device__ __forceinline__ Normal normal(float x) {
  const float t = fminf(fabsf(x), 13.0f);  // beyond 13 the tail is below 1e-38
  const float p = (((1.02208693e-2f * t + 1.01197869e-1f) * t + 4.57360893e-1f) * t + 1.09602165f) * t + 1.25331414f;
  const float low = ((1.02207400e-2f * t + 1.01204678e-1f) * t + 4.67425823e-1f) * t + 1.19928575f;
  const float q = (low * t + 1.67238367f) * t + 1.0f;
  const float density = t < 13.0f ? ONE_OVER_SQRT_2_PI * __expf(-0.5f * t * t) : 0.0f;
  const float tail = density * __fdividef(p, q);
  return {x < 0 ? tail : 1 - tail, density};
}

struct Gelu {
  __device__ static float value(float x) { return x * normal(x).distribution; }
  // Phi(x) + x phi(x)
  __device__ static float slope(float x) {
    const Normal at = normal(x);
    return at.distribution + x * at.density;
  }
};

struct GeluTanh {
  // s(2u), 2u = 2 sqrt(2/pi) (x + 0.044715 x^3)
  __device__ static float factor(float x) { return logistic(TWO_SQRT_2_OVER_PI * x * (1 + CUBIC * (x * x))); }
  __device__ static float value(float x) { return x * factor(x); }
  // s + x s (1 - s) d(2u)/dx
  __device__ static float slope(float x) {
    const float s = factor(x);
    return s + x * s * (1 - s) * (TWO_SQRT_2_OVER_PI * (1 + 3 * CUBIC * (x * x)));
  }
};

struct Silu {
  __device__ static float value(float x) { return x * logistic(x); }
  __device__ static float slope(float x) {
    const float s = logistic(x);
    return s + x * s * (1 - s);
  }
};
