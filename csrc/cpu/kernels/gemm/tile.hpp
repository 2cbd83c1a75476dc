// The micro-kernel: one tile of C, ROWS x COLUMNS, held in registers while k runs.
//
// At each k it reads one vector pair of B and ROWS elements of A, and makes ROWS x COLUMNS multiply-adds of them: the
// more rows, the fewer loads for each multiply-add. Registers limit them: 14 x 2 sums, 2 of B and 1 of A of AVX-512's
// 32; 6 x 2 of the 16 that the others have.
#pragma once

#include "kernels/activation_formulas.hpp"
#include "kernels/gemm.hpp"
#include "kernels/gemm/bfloat16.hpp"

namespace minillm::ISA {

constexpr int64_t ROWS = VECTOR_REGISTERS == 32 ? 14 : 6;
constexpr int64_t COLUMNS = 2 * LANES;

typedef vec Tile[ROWS][2];

// tile_ij = sum over k of a_ik b_kj, for the first R rows. a: panel of ROWS, b: panel of COLUMNS.
template <class Element, int64_t R>
static void multiply(const float* a, const float* b, int64_t steps, Tile& tile) {
  vec sum[R][2] = {};
  for (int64_t k = 0; k < steps; ++k, a += ROWS, b += COLUMNS) {
    const vec b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 14
    for (int64_t i = 0; i < R; ++i) {
      const vec ai = broadcast(a[i]);
      sum[i][0] = Element::multiply_add(ai, b0, sum[i][0]);
      sum[i][1] = Element::multiply_add(ai, b1, sum[i][1]);
    }
  }
#pragma GCC unroll 14
  for (int64_t i = 0; i < R; ++i) {
    tile[i][0] = sum[i][0];
    tile[i][1] = sum[i][1];
  }
}

// The instance of `multiply` for a number of rows known only at run time.
template <class Element, int64_t R = ROWS>
static void multiply_rows(int64_t rows, const float* a, const float* b, int64_t steps, Tile& tile) {
  if (rows == R)
    multiply<Element, R>(a, b, steps, tile);
  else if constexpr (R > 1)
    multiply_rows<Element, R - 1>(rows, a, b, steps, tile);
}

// Where a tile goes: row i, column j of C, of which rows x columns are there; and which k it covers.
struct Place {
  int64_t i, j, rows, columns;
  bool first, last;
};

// C's part under the tile, fetched while the tile is computed: it would be waited for otherwise.
[[gnu::always_inline]] inline void fetch(const Product& p, const Place& place) {
  const float* c = p.c + place.i * p.n + place.j;
  for (int64_t i = 0; i < place.rows; ++i, c += p.n) prefetch(c, place.columns);
}

// One vector of C: the sum so far and, after the last k, the epilogue f(sum + bias) + residual.
inline vec epilogue(const Product& p, vec sum, int64_t at, int64_t j, int64_t n) {
  if (p.bias) sum += load_up_to(p.bias + j, n);
  if (p.before) store_up_to(p.before + at, sum, n);
  if (p.activation != Activation::none) sum = activated(p.activation, sum);
  if (p.residual) sum += load_up_to(p.residual + at, n);
  return sum;
}

// C's part under the tile: set by the first k, added to by the others, finished by the last.
inline void write(const Product& p, const Place& place, const Tile& tile) {
  for (int64_t i = 0; i < place.rows; ++i)
    for (int64_t chunk = 0; chunk < 2; ++chunk) {
      const int64_t j = place.j + chunk * LANES, n = place.columns - chunk * LANES;
      if (n <= 0) break;
      const int64_t at = (place.i + i) * p.n + j;
      vec sum = tile[i][chunk];
      if (!place.first || p.accumulate) sum += load_up_to(p.c + at, n);
      if (place.last) sum = epilogue(p, sum, at, j, n);
      store_up_to(p.c + at, sum, n);
    }
}

}  // namespace minillm::ISA
