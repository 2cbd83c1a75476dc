// Cross-entropy of rows of logits  [4.1.2-ce]: a row stays in the cache for its three passes.
#include <cmath>
#include <limits>

#include "kernels.hpp"
#include "parallel.hpp"
#include "simd.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;  // logits; fewer aren't worth a second thread

// The largest element, at least the lowest finite number: exp(x - m) is 0, not NaN, in a row of -infinity.
static float row_max(const float* x, int64_t n) {
  const vec lowest = broadcast(std::numeric_limits<float>::lowest());
  vec m = lowest;
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) m = max(load(x + j), m);
  float result = largest(m);
  for (; j < n; ++j) result = x[j] > result ? x[j] : result;
  return result;
}

// Sum of exp(x - m), in blocks so that the error doesn't grow with n; the exponentials replace x if `keep`.
static double sum_exp(float* x, int64_t n, float m, bool keep) {
  constexpr int64_t BLOCK = 64 * LANES;
  double total = 0;
  for (int64_t block = 0; block < n; block += BLOCK) {
    const int64_t end = std::min(block + BLOCK, n);
    vec part{};
    for (int64_t j = block; j < end; j += LANES) {
      const vec e = exp(load_up_to(x + j, end - j) - m);
      if (keep) store_up_to(x + j, e, end - j);
      part += end - j >= LANES ? e : only_first(e, end - j);
    }
    total += sum(part);
  }
  return total;
}

static void scale_row(float* x, int64_t n, float by) {
  for (int64_t j = 0; j < n; j += LANES) store_up_to(x + j, load_up_to(x + j, n - j) * by, n - j);
}

static double one_row(float* x, int64_t n, int64_t target, float scale, bool gradient) {
  const float m = row_max(x, n), at_target = x[target] - m;
  const double total = sum_exp(x, n, m, gradient);
  if (gradient) {
    scale_row(x, n, (float)(scale / total));
    x[target] -= scale;
  }
  return std::log(total) - at_target;
}

void cross_entropy_rows(float* logits, const int64_t* targets, double* losses, int64_t rows, int64_t classes,
                        int64_t ignored, float scale, bool gradient) {
  parallel_for(rows, GRAIN / std::max<int64_t>(1, classes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = logits + i * classes;
      if (targets[i] != ignored) {
        losses[i] = one_row(row, classes, targets[i], scale, gradient);
      } else {
        losses[i] = 0;
        if (gradient) std::memset(row, 0, classes * sizeof(float));
      }
    }
  });
}

}  // namespace minillm::ISA
