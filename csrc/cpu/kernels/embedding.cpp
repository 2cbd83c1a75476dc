// Embedding: rows of the table for tokens, and rows of gradients added up by token.
#include <atomic>

#include "kernels.hpp"
#include "parallel.hpp"
#include "simd.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;  // elements; fewer aren't worth a second thread

bool take_rows(const float* weight, const int64_t* ids, float* out, int64_t rows, int64_t count, int64_t d) {
  std::atomic<bool> all_there{true};
  parallel_for(count, GRAIN / std::max<int64_t>(1, d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (ids[i] < 0 || ids[i] >= rows) {
        all_there = false;
        return;
      }
      std::memcpy(out + i * d, weight + ids[i] * d, d * sizeof(float));
    }
  });
  return all_there;
}

void sum_row_groups(const float* dy, const int64_t* order, const int64_t* starts, float* out, int64_t groups,
                    int64_t d) {
  parallel_for(groups, GRAIN / std::max<int64_t>(1, d), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group)
      for (int64_t j = 0; j < d; j += LANES) {
        vec total{};
        for (int64_t i = starts[group]; i < starts[group + 1]; ++i) total += load_up_to(dy + order[i] * d + j, d - j);
        store_up_to(out + group * d + j, total, d - j);
      }
  });
}

}  // namespace minillm::ISA
