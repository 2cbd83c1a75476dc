// The sum over the rows of a matrix, by strips of columns.
#include "kernels.hpp"
#include "parallel.hpp"
#include "simd.hpp"

namespace minillm::ISA {

constexpr int64_t STRIP = 8;         // vectors side by side: whole cache lines, read in order
constexpr int64_t BLOCK = 64;        // rows added before they join the total: the error grows with m / 64 + 64, not m
constexpr int64_t GRAIN = 1 << 14;   // fewer elements aren't worth a second thread

// One strip: y_j for j below `columns`, at most STRIP vectors.
static void sum_strip(const float* x, float* y, int64_t m, int64_t n, int64_t columns) {
  vec total[STRIP] = {};
  for (int64_t block = 0; block < m; block += BLOCK) {
    vec part[STRIP] = {};
    for (int64_t i = block; i < std::min(block + BLOCK, m); ++i)
      for (int64_t v = 0; v < STRIP; ++v) part[v] += load_up_to(x + i * n + v * LANES, columns - v * LANES);
    for (int64_t v = 0; v < STRIP; ++v) total[v] += part[v];
  }
  for (int64_t v = 0; v < STRIP; ++v) store_up_to(y + v * LANES, total[v], columns - v * LANES);
}

void sum_rows(const float* x, float* y, int64_t m, int64_t n) {
  constexpr int64_t WIDTH = STRIP * LANES;
  parallel_for((n + WIDTH - 1) / WIDTH, std::max<int64_t>(1, GRAIN / WIDTH / std::max<int64_t>(1, m)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t j = begin * WIDTH; j < std::min(n, end * WIDTH); j += WIDTH)
                   sum_strip(x + j, y + j, m, n, n - j);
               });
}

}  // namespace minillm::ISA
