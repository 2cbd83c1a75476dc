// GELU (tanh form) and SiLU of a vector. Both are x times a logistic function s:
// silu(x) = x s(x), and as (1 + tanh u) / 2 = s(2u), gelu_tanh(x) = x s(2u(x)).
#pragma once

#include "simd.hpp"

namespace minillm::ISA {

// s(z) = 1 / (1 + e^-z)
inline vec logistic(vec z) { return 1.0f / (1.0f + exp(-z)); }

constexpr float TWO_SQRT_2_OVER_PI = 1.5957691216f;  // 2 sqrt(2 / pi)
constexpr float CUBIC = 0.044715f;

// 2u of gelu_tanh: 2 sqrt(2/pi) (x + 0.044715 x^3)
inline vec gelu_argument(vec x) { return TWO_SQRT_2_OVER_PI * x * (1.0f + CUBIC * (x * x)); }

inline vec gelu_tanh_of(vec x) { return x * logistic(gelu_argument(x)); }
inline vec silu_of(vec x) { return x * logistic(x); }

}  // namespace minillm::ISA
