// Dropout (Srivastava et al. 2014), eight elements for each block of random numbers.
#include "kernels.hpp"
#include "parallel.hpp"
#include "philox.hpp"

namespace minillm::ISA {

constexpr int64_t WORDS = 8;         // 32-bit words of a Philox block
constexpr int64_t GRAIN = 1 << 10;   // blocks; fewer aren't worth a second thread

// Run use(first, words) for every block of eight elements.
template <class Use>
static void for_blocks(int64_t n, const DropoutKey& key, Use use) {
  parallel_for((n + WORDS - 1) / WORDS, GRAIN, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const uint64_t counter[4] = {(uint64_t)block + 1, 0, key.counter, 0};
      uint64_t numbers[4];
      philox(counter, key.seed, numbers);
      uint32_t words[WORDS];
      for (int i = 0; i < 4; ++i) words[2 * i] = (uint32_t)numbers[i], words[2 * i + 1] = (uint32_t)(numbers[i] >> 32);
      use(block * WORDS, words);
    }
  });
}

void keep_mask(bool* keep, int64_t n, const DropoutKey& key) {
  for_blocks(n, key, [&](int64_t first, const uint32_t* words) {
    const int64_t count = std::min(WORDS, n - first);
    for (int64_t i = 0; i < count; ++i) keep[first + i] = words[i] >= key.threshold;
  });
}

void dropout(const float* x, const bool* keep, float* y, int64_t n, float scale) {
  parallel_for(n, GRAIN * WORDS, [&](int64_t begin, int64_t end) {
    const auto* kept = reinterpret_cast<const uint8_t*>(keep);
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) y[i] = x[i] * (scale * kept[i]);
  });
}

}  // namespace minillm::ISA
