// The matrix product in eight steps, each one change away from the one before. Written to be read in this order;
// the library itself uses gemm.cpp, which takes the same steps and any layout. See csrc/README.md.
#include "kernels/ladder.hpp"

#include <algorithm>

#include "kernels.hpp"
#include "parallel.hpp"
#include "scratch.hpp"
#include "simd.hpp"

// The compiler would turn the loops of the first two steps into vectors by itself; what that brings is step 3.
#if defined(__clang__)
#define ONE_BY_ONE
#define SCALAR_LOOP _Pragma("clang loop vectorize(disable) interleave(disable)")
#else
#define ONE_BY_ONE __attribute__((optimize("no-tree-vectorize")))
#define SCALAR_LOOP
#endif

namespace minillm::ISA {

// Step 1: the definition, c_ij = sum over k of a_ik b_kj.
ONE_BY_ONE static void three_loops(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      SCALAR_LOOP
      for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
}

static inline void clear(float* c, int64_t n) { std::memset(c, 0, n * sizeof(float)); }

// Step 2: the same multiply-adds in another order. The inner loop runs along rows of B and C, as they lie in memory.
ONE_BY_ONE static void along_rows(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  clear(c, m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) {
      const float x = a[i * k + p];
      SCALAR_LOOP
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += x * b[p * n + j];
    }
}

// c += x b for rows of n floats, a vector at a time.
static inline void add_row(float x, const float* b, float* c, int64_t n) {
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) store(c + j, load(c + j) + broadcast(x) * load(b + j));
  for (; j < n; ++j) c[j] += x * b[j];
}

// Step 3: LANES multiply-adds with one instruction.
static void vectors(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  clear(c, m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) add_row(a[i * k + p], b + p * n, c + i * n, n);
}

constexpr int64_t DEPTH = 256;  // rows of a block of B
constexpr int64_t WIDTH = 512;  // columns of a block of B: 256 x 512 floats are 512 KB, half of a 1 MB L2 cache

// Call body(p, depth, j, width) for each block of B: rows from p, columns from j.
template <class Body>
static inline void for_blocks(int64_t n, int64_t k, Body body) {
  for (int64_t j = 0; j < n; j += WIDTH)
    for (int64_t p = 0; p < k; p += DEPTH) body(p, std::min(DEPTH, k - p), j, std::min(WIDTH, n - j));
}

// Step 4: block by block of B. A block stays in the L2 cache while all rows of A pass over it.
static void blocks(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  clear(c, m * n);
  for_blocks(n, k, [=](int64_t p0, int64_t depth, int64_t j, int64_t width) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t p = p0; p < p0 + depth; ++p) add_row(a[i * k + p], b + p * n + j, c + i * n + j, width);
  });
}

// Step 5: the block is copied first, so that its rows lie one after the other: few pages, no two lines in each other's
// place in the cache.
static void packed_blocks(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  float* block = static_cast<float*>(scratch(DEPTH * WIDTH * sizeof(float)));
  clear(c, m * n);
  for_blocks(n, k, [=](int64_t p0, int64_t depth, int64_t j, int64_t width) {
    for (int64_t p = 0; p < depth; ++p) std::memcpy(block + p * width, b + (p0 + p) * n + j, width * sizeof(float));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t p = 0; p < depth; ++p) add_row(a[i * k + p0 + p], block + p * width, c + i * n + j, width);
  });
}

// A panel: `across` neighbouring rows of A (or columns of B) for each p, then those of the next p. Missing ones are 0.
static void pack(const float* from, int64_t across_step, int64_t along_step, int64_t there, int64_t across,
                 int64_t depth, float* panel) {
  for (int64_t p = 0; p < depth; ++p)
    for (int64_t i = 0; i < across; ++i)
      panel[p * across + i] = i < there ? from[i * across_step + p * along_step] : 0.0f;
}

// Steps 6 and 7: c (rows, columns) += panel of A times panel of B. R x V vectors of sums stay in registers throughout;
// C is read and written once.
template <int R, int V>
static void micro_kernel(const float* a, const float* b, int64_t depth, float* c, int64_t n, int64_t rows,
                         int64_t columns) {
  vec sum[R][V] = {};
  for (int64_t p = 0; p < depth; ++p, a += R, b += V * LANES) {
    vec row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = load(b + v * LANES);
#pragma GCC unroll 14
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[i][v] += broadcast(a[i]) * row[v];
  }
#pragma GCC unroll 14
  for (int i = 0; i < R; ++i) {
    if (i >= rows) break;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const int64_t left = columns - v * LANES;
      float* at = c + i * n + v * LANES;
      if (left > 0) store_up_to(at, load_up_to(at, left) + sum[i][v], left);
    }
  }
}

template <int R, int V>
static void tiles(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t COLUMNS = V * LANES;
  static_assert(WIDTH % COLUMNS == 0);
  float* block = static_cast<float*>(scratch((DEPTH * WIDTH + DEPTH * R) * sizeof(float)));
  float* panel = block + DEPTH * WIDTH;
  clear(c, m * n);
  for_blocks(n, k, [=](int64_t p, int64_t depth, int64_t j0, int64_t width) {
    for (int64_t j = 0; j < width; j += COLUMNS)
      pack(b + p * n + j0 + j, 1, n, width - j, COLUMNS, depth, block + j * depth);
    for (int64_t i = 0; i < m; i += R) {
      pack(a + i * k + p, k, 1, m - i, R, depth, panel);
      for (int64_t j = 0; j < width; j += COLUMNS)
        micro_kernel<R, V>(panel, block + j * depth, depth, c + i * n + j0 + j, n, m - i, width - j);
    }
  });
}

constexpr int NARROW = LANES == 16 ? 1 : 2;                // vectors across the tile of step 6: 6 x 16 with AVX2, AVX-512
constexpr int ROWS = VECTOR_REGISTERS == 32 ? 14 : 6;      // of step 7: 28 sums, 2 vectors of B, 1 of A in 32 registers

// Step 8: each thread does its part of C's rows.
static void with_threads(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  parallel_for(m, ROWS, [=](int64_t begin, int64_t end) {
    tiles<ROWS, 2>(a + begin * k, b, c + begin * n, end - begin, n, k);
  });
}

void ladder(int step, const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
  using Step = void(const float*, const float*, float*, int64_t, int64_t, int64_t);
  static Step* const steps[LADDER_STEPS] = {three_loops,   along_rows,       vectors,        blocks,
                                            packed_blocks, tiles<6, NARROW>, tiles<ROWS, 2>, with_threads};
  if (1 <= step && step <= LADDER_STEPS) steps[step - 1](a, b, c, m, n, k);
}

}  // namespace minillm::ISA
