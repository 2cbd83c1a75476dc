// GELU, its tanh form and SiLU of a vector. The last two are x times a logistic function s:
// gelu(x) = x Phi(x), silu(x) = x s(x), and as (1 + tanh u) / 2 = s(2u) with u = sqrt(2/pi) (x + 0.044715 x^3),
// gelu_tanh(x) = x (1 + tanh u) / 2 = x s(2u).
#pragma once

#include "kernels/gemm.hpp"
#include "simd.hpp"

namespace minillm::ISA {

// s(z) = 1 / (1 + e^-z): 1 beyond 87, 0 below -87.
inline vec logistic(vec z) {
  const vec e = exp_within_87(min(broadcast(87.0f), max(broadcast(-87.0f), -z)));
  return z < -87.0f ? vec{} : 1.0f / (1.0f + e);
}

constexpr float TWO_SQRT_2_OVER_PI = 1.5957691216f;  // 2 sqrt(2 / pi)
constexpr float CUBIC = 0.044715f;

// 2u of gelu_tanh: 2 sqrt(2/pi) (x + 0.044715 x^3)
inline vec gelu_argument(vec x) { return TWO_SQRT_2_OVER_PI * x * (1.0f + CUBIC * (x * x)); }

// The normal distribution Phi and its density phi(x) = e^(-x^2 / 2) / sqrt(2 pi) at x.
struct Normal {
  vec distribution, density;
};

// For t = |x| the tail Phi(-t) is phi(t) R(t). R is called Mills' ratio; p / q are the polynomials whose largest relative
// error on [0, 13], 5.5e-9, is least (found by weighted least squares). Phi(x) is the tail or 1 minus it: nothing cancels.
inline Normal normal(vec x) {
  constexpr float ONE_OVER_SQRT_2_PI = 0.3989422804f;
  const vec t = min(broadcast(13.0f), max(x, -x));  // beyond 13 the tail is below 1e-38
  vec p = broadcast(1.02208693e-2f);
  p = p * t + 1.01197869e-1f;
  p = p * t + 4.57360893e-1f;
  p = p * t + 1.09602165f;
  p = p * t + 1.25331414f;
  vec q = broadcast(1.02207400e-2f);
  q = q * t + 1.01204678e-1f;
  q = q * t + 4.67425823e-1f;
  q = q * t + 1.19928575f;
  q = q * t + 1.67238367f;
  q = q * t + 1.0f;
  const vec density = t >= 13.0f ? vec{} : ONE_OVER_SQRT_2_PI * exp_within_87(-0.5f * t * t);
  const vec tail = density * p / q;
  return {x < 0.0f ? tail : 1.0f - tail, density};
}

inline vec gelu_of(vec x) { return x * normal(x).distribution; }
inline vec gelu_tanh_of(vec x) { return x * logistic(gelu_argument(x)); }
inline vec silu_of(vec x) { return x * logistic(x); }

// f(x) for the activation that a product's epilogue is asked for.
inline vec activated(Activation f, vec x) {
  switch (f) {
    case Activation::gelu: return gelu_of(x);
    case Activation::gelu_tanh: return gelu_tanh_of(x);
    case Activation::silu: return silu_of(x);
    default: return x;
  }
}

}  // namespace minillm::ISA
