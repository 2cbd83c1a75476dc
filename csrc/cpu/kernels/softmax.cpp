// Softmax over rows  [4.2.1]: a row stays in the cache for its passes.
#include <cmath>

#include "kernels.hpp"
#include "kernels/rows.hpp"
#include "parallel.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;  // elements; fewer aren't worth a second thread

template <class F>
static void for_rows(int64_t rows, int64_t n, F f) {
  parallel_for(rows, GRAIN / std::max<int64_t>(1, n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) f(row * n);
  });
}

// exp(x_j - m), with zeros past the end of the row.
inline vec exponential(const float* x, int64_t left, float m) { return only_first(exp(load_up_to(x, left) - m), left); }

void softmax_forward(const float* x, float* y, int64_t rows, int64_t n) {
  for_rows(rows, n, [&](int64_t at) {
    const float m = row_max(x + at, n);
    const double total = sum_over(n, [&](int64_t j, int64_t left) {
      const vec e = exponential(x + at + j, left, m);
      store_up_to(y + at + j, e, left);
      return e;
    });
    const float scale = total == 0 ? 1.0f : (float)(1 / total);
    for_vectors(n, [&](int64_t j, int64_t left) {
      store_up_to(y + at + j, load_up_to(y + at + j, left) * scale, left);
    });
  });
}

void softmax_backward(const float* p, const float* dp, float* dx, int64_t rows, int64_t n) {
  for_rows(rows, n, [&](int64_t at) {
    const float along = (float)sum_over(n, [&](int64_t j, int64_t left) {
      return load_up_to(p + at + j, left) * load_up_to(dp + at + j, left);
    });
    for_vectors(n, [&](int64_t j, int64_t left) {
      const vec weight = load_up_to(p + at + j, left);
      store_up_to(dx + at + j, weight * (load_up_to(dp + at + j, left) - along), left);
    });
  });
}

void log_softmax_forward(const float* x, float* y, int64_t rows, int64_t n) {
  for_rows(rows, n, [&](int64_t at) {
    const float m = row_max(x + at, n);
    const double total = sum_over(n, [&](int64_t j, int64_t left) { return exponential(x + at + j, left, m); });
    const float log_total = (float)std::log(std::max<double>(total, std::numeric_limits<float>::min()));
    for_vectors(n, [&](int64_t j, int64_t left) {
      store_up_to(y + at + j, load_up_to(x + at + j, left) - m - log_total, left);
    });
  });
}

void log_softmax_backward(const float* l, const float* dl, float* dx, int64_t rows, int64_t n) {
  for_rows(rows, n, [&](int64_t at) {
    const float total = (float)sum_over(n, [&](int64_t j, int64_t left) { return load_up_to(dl + at + j, left); });
    for_vectors(n, [&](int64_t j, int64_t left) {
      const vec p = exp(load_up_to(l + at + j, left));
      store_up_to(dx + at + j, load_up_to(dl + at + j, left) - p * total, left);
    });
  });
}

}  // namespace minillm::ISA
