// Small matrices in the caches: products, transposes, copies from and to strided rows.
//
// A tile's rows are padded with zeros to whole vectors, so that no loop over a tile has a tail.
#pragma once

#include "simd.hpp"

namespace minillm::ISA {

// A product is computed in blocks of ROWS x 2 vectors, whose sums stay in registers.
constexpr int64_t ROWS = VECTOR_REGISTERS == 32 ? 8 : 4;
constexpr int64_t PANEL = 2 * LANES;
static_assert(LANES % ROWS == 0);

constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// One block: ROWS x V vectors of C = A B or C += A B. A's element (i, p) is a[p, i] if TRANSPOSED, else a[i, p].
template <bool TRANSPOSED, bool ADD, int V>
inline void multiply_block(int64_t depth, const float* a, int64_t a_row, const float* b, int64_t b_row, float* c,
                           int64_t c_row) {
  vec sum[ROWS][V];
#pragma GCC unroll 8
  for (int64_t i = 0; i < ROWS; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) sum[i][j] = ADD ? load(c + i * c_row + j * LANES) : vec{};
  for (int64_t p = 0; p < depth; ++p) {
    vec right[V];
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) right[j] = load(b + p * b_row + j * LANES);
#pragma GCC unroll 8
    for (int64_t i = 0; i < ROWS; ++i) {
      const vec left = broadcast(TRANSPOSED ? a[p * a_row + i] : a[i * a_row + p]);
#pragma GCC unroll 2
      for (int j = 0; j < V; ++j) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < ROWS; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) store(c + i * c_row + j * LANES, sum[i][j]);
}

// C (rows, cols) = A B, or C += A B if ADD; rows a multiple of ROWS, cols of LANES; A is stored (depth, rows) if
// TRANSPOSED. x_row is the step from one row of x to the next.
template <bool TRANSPOSED, bool ADD>
static void multiply(int64_t rows, int64_t cols, int64_t depth, const float* a, int64_t a_row, const float* b,
                     int64_t b_row, float* c, int64_t c_row) {
  for (int64_t j = 0; j < cols; j += PANEL)
    for (int64_t i = 0; i < rows; i += ROWS) {
      const float* strip = a + (TRANSPOSED ? i : i * a_row);
      if (j + PANEL <= cols)
        multiply_block<TRANSPOSED, ADD, 2>(depth, strip, a_row, b + j, b_row, c + i * c_row + j, c_row);
      else
        multiply_block<TRANSPOSED, ADD, 1>(depth, strip, a_row, b + j, b_row, c + i * c_row + j, c_row);
    }
}

// to (cols, rows) = from (rows, cols) transposed, in squares of 4 x 4; both sizes multiples of 4.
static inline void transpose(int64_t rows, int64_t cols, const float* from, int64_t from_row, float* to,
                             int64_t to_row) {
  typedef float quad __attribute__((vector_size(16)));
  for (int64_t i = 0; i < rows; i += 4)
    for (int64_t j = 0; j < cols; j += 4) {
      quad x[4];
      for (int64_t t = 0; t < 4; ++t) std::memcpy(&x[t], from + (i + t) * from_row + j, sizeof x[t]);
      const quad a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5);
      const quad b = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5);
      const quad c = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7);
      const quad d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
      const quad y[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
                         __builtin_shufflevector(c, d, 0, 1, 4, 5), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
      for (int64_t t = 0; t < 4; ++t) std::memcpy(to + (j + t) * to_row + i, &y[t], sizeof y[t]);
    }
}

// to = factor * from for n elements, then zeros up to a whole number of vectors. Returns 0 * their sum: 0 or NaN.
inline vec copy_padded(const float* from, int64_t n, float factor, float* to) {
  vec nothing{};
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) {
    const vec x = load(from + j);
    nothing += x * 0.0f;
    store(to + j, x * factor);
  }
  if (j < n) {
    const vec x = load_first(from + j, n - j);
    nothing += x * 0.0f;
    store(to + j, x * factor);
  }
  return nothing;
}

// A tile of `rows` rows of round_up(n, LANES) from `given` rows of n, `step` apart; those missing become zeros.
// Returns whether all elements are finite.
static inline bool pack_rows(const float* from, int64_t step, int64_t given, int64_t n, float factor, int64_t rows,
                             float* to) {
  const int64_t width = round_up(n, LANES);
  vec nothing{};
  for (int64_t i = 0; i < given; ++i) nothing += copy_padded(from + i * step, n, factor, to + i * width);
  if (rows > given) std::memset(to + given * width, 0, (rows - given) * width * sizeof(float));
  return sum(nothing) == 0;
}

// to = factor * from for n elements; `from` is padded, `to` isn't.
inline void copy_out(const float* from, int64_t n, float factor, float* to) {
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) store(to + j, load(from + j) * factor);
  if (j < n) store_first(to + j, load(from + j) * factor, n - j);
}

}  // namespace minillm::ISA
