// GELU, its tanh form and SiLU, one pass over memory each.
#include "kernels.hpp"
#include "kernels/activation_formulas.hpp"
#include "parallel.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;  // fewer elements aren't worth a second thread

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

void gelu_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, [](vec v) { return gelu_of(v); });
}

// d/dx x Phi(x) = Phi(x) + x phi(x)
void gelu_backward(const float* x, const float* dy, float* dx, int64_t n) {
  pull_back(x, dy, dx, n, [](vec v) {
    const Normal at = normal(v);
    return at.distribution + v * at.density;
  });
}

void gelu_tanh_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, [](vec v) { return gelu_tanh_of(v); });
}

// d/dx x s(z) = s + x s (1 - s) dz/dx,  z = 2u,  dz/dx = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2)
void gelu_tanh_backward(const float* x, const float* dy, float* dx, int64_t n) {
  pull_back(x, dy, dx, n, [](vec v) {
    const vec s = logistic(gelu_argument(v));
    return s + v * s * (1.0f - s) * (TWO_SQRT_2_OVER_PI * (1.0f + 3 * CUBIC * (v * v)));
  });
}

void silu_forward(const float* x, float* y, int64_t n) {
  map(x, y, n, [](vec v) { return silu_of(v); });
}

void silu_backward(const float* x, const float* dy, float* dx, int64_t n) {
  pull_back(x, dy, dx, n, [](vec v) {
    const vec s = logistic(v);
    return s + v * s * (1.0f - s);
  });
}

}  // namespace minillm::ISA
