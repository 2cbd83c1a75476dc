// The machine's limits, measured: multiply-adds a second without any memory, bytes a second without any arithmetic.
#include "kernels/peaks.hpp"

#include "kernels.hpp"
#include "kernels/gemm/bfloat16.hpp"
#include "parallel.hpp"

namespace minillm::ISA {

// Sums that don't wait for each other. A multiply-add takes 4 to 6 cycles and two can start in each: 12 keep a
// processor busy, and with the two factors they fit into 16 registers.
constexpr int SUMS = 12;

// The compiler must take v as used and changed here, so it can't leave out the loop that made it.
inline void keep(vec& v) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(v));
#else
  asm volatile("" : "+w"(v));
#endif
}

template <class Element>
static double peak(int64_t rounds) {
  int count = 1;
  parallel(1 << 20, [&](int thread, int threads) {
    if (thread == 0) count = threads;
    vec a = broadcast(0.0f), b = broadcast(0.0f), sum[SUMS] = {};
    keep(a);
    keep(b);
    for (vec& s : sum) keep(s);  // else equal sums would be one sum
    for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
      for (int i = 0; i < SUMS; ++i) sum[i] = Element::multiply_add(a, b, sum[i]);
    }
    for (vec& s : sum) keep(s);
  });
  return 2.0 * Element::K * LANES * SUMS * rounds * count;
}

double peak_fma(int64_t rounds) { return peak<Float32>(rounds); }

// Without dot products of bfloat16 in hardware its numbers are multiplied as float32.
#ifdef __AVX512BF16__
double peak_bf16(int64_t rounds) { return peak<Bfloat16Pairs>(rounds); }
#else
double peak_bf16(int64_t rounds) { return peak<Float32>(rounds); }
#endif

constexpr int64_t UNROLL = 8;  // vectors in flight

void stream_read(const float* x, int64_t n, int64_t rounds) {
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t round = 0; round < rounds; ++round) {
      vec sum[UNROLL] = {};
      int64_t i = begin;
      for (; i + UNROLL * LANES <= end; i += UNROLL * LANES)
#pragma GCC unroll 8
        for (int64_t u = 0; u < UNROLL; ++u) sum[u] += load(x + i + u * LANES);
      for (; i < end; ++i) sum[0][0] += x[i];
      for (vec& s : sum) keep(s);
    }
  });
}

// The C library's copy: for large arrays it writes past the caches, so that y's old values aren't read first.
void stream_copy(const float* x, float* y, int64_t n, int64_t rounds) {
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t round = 0; round < rounds; ++round) std::memcpy(y + begin, x + begin, (end - begin) * sizeof(float));
  });
}

// Plain stores, as in most kernels: y's lines are read before they are written.
void stream_triad(const float* x, const float* z, float* y, float s, int64_t n, int64_t rounds) {
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t round = 0; round < rounds; ++round) {
      int64_t i = begin;
      for (; i + LANES <= end; i += LANES) store(y + i, load(x + i) + s * load(z + i));
      for (; i < end; ++i) y[i] = x[i] + s * z[i];
    }
  });
}

}  // namespace minillm::ISA
