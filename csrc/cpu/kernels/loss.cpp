// Cross-entropy of rows of logits  [4.1.2-ce]: a row stays in the cache for its three passes.
#include <cmath>

#include "kernels.hpp"
#include "kernels/rows.hpp"
#include "parallel.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;  // logits; fewer aren't worth a second thread

// Sum of exp(x - m); the exponentials replace x if `keep`.
static double sum_exp(float* x, int64_t n, float m, bool keep) {
  return sum_over(n, [&](int64_t j, int64_t left) {
    const vec e = only_first(exp(load_up_to(x + j, left) - m), left);
    if (keep) store_up_to(x + j, e, left);
    return e;
  });
}

static void scale_row(float* x, int64_t n, float by) {
  for_vectors(n, [&](int64_t j, int64_t left) { store_up_to(x + j, load_up_to(x + j, left) * by, left); });
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
