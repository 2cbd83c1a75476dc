// GELU (tanh form) and SiLU, one pass over memory each.
//
// Both are x times a logistic function: silu(x) = x s(x), and as (1 + tanh u) / 2 = s(2u), gelu_tanh(x) = x s(2u(x)).
#include "kernels.hpp"
#include "parallel.hpp"
#include "simd.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;  // fewer elements aren't worth a second thread

// s(z) = 1 / (1 + e^-z)
inline vec logistic(vec z) { return 1.0f / (1.0f + exp(-z)); }

// y[i] = f(x[i]) for all i, f on vectors.
template <class F>
static void map(const float* x, float* y, int64_t n, F f) {
  parallel_for(n, GRAIN, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES) store(y + i, f(load(x + i)));
    if (i < end) store_first(y + i, f(load_first(x + i, end - i)), end - i);
  });
}

// dx[i] = dy[i] slope(x[i]) for all i.
template <class Slope>
static void pull_back(const float* x, const float* dy, float* dx, int64_t n, Slope slope) {
  parallel_for(n, GRAIN, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES) store(dx + i, load(dy + i) * slope(load(x + i)));
    if (i < end) {
      const int64_t left = end - i;
      store_first(dx + i, load_first(dy + i, left) * slope(load_first(x + i, left)), left);
    }
  });
}

constexpr float TWO_SQRT_2_OVER_PI = 1.5957691216f;  // 2 sqrt(2 / pi)
constexpr float CUBIC = 0.044715f;

// 2u of gelu_tanh: 2 sqrt(2/pi) (x + 0.044715 x^3)
inline vec gelu_argument(vec x) { return TWO_SQRT_2_OVER_PI * x * (1.0f + CUBIC * (x * x)); }

void gelu_tanh_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, [](vec v) { return v * logistic(gelu_argument(v)); });
}

// d/dx x s(z) = s + x s (1 - s) dz/dx,  z = 2u,  dz/dx = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2)
void gelu_tanh_backward(const float* x, const float* dy, float* dx, int64_t n) {
  pull_back(x, dy, dx, n, [](vec v) {
    const vec s = logistic(gelu_argument(v));
    return s + v * s * (1.0f - s) * (TWO_SQRT_2_OVER_PI * (1.0f + 3 * CUBIC * (v * v)));
  });
}

void silu_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, [](vec v) { return v * logistic(v); });
}

void silu_backward(const float* x, const float* dy, float* dx, int64_t n) {
  pull_back(x, dy, dx, n, [](vec v) {
    const vec s = logistic(v);
    return s + v * s * (1.0f - s);
  });
}

}  // namespace minillm::ISA
