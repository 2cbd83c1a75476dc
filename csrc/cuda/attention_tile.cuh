// Tiles of bfloat16 rows in shared memory, and the two products of attention that a warp makes of them on tensor cores:
// rows by rows (Q K^T) and weights by rows (P V), both with the result in registers.
#pragma once

#include "attention.cuh"
#include "mma.cuh"

constexpr int WARPS = 4;
constexpr int THREADS = WARPS * WARP;

// Shared memory has 32 banks of 4 bytes: what lies at one place modulo 128 bytes is read one after the other.
//
// Element 8 chunk of a row, in a tile of rows of D. ldmatrix reads 8 rows at one chunk, 16 bytes each: without a bank
// conflict only if they lie at 8 different places modulo 128 bytes. Rows of a multiple of 128 bytes begin at one place,
// so a row's chunks change places by its number modulo 8; rows of 64 more begin at two places in turn, so they change
// within fours, by half the number. Consecutive threads that fill a row write to 8 different places, too.
template <int D>
__device__ __forceinline__ int place(int row, int chunk) {
  static_assert(D % 32 == 0);
  constexpr int SWAPPED = D % 64 == 0 ? 8 : 4;  // chunks among which one changes places
  const int by = D % 64 == 0 ? row & 7 : row >> 1 & 3;
  // The chunk without its lowest bits, a constant where the loop over chunks is unrolled, and these bits, changed.
  return row * D + 8 * ((chunk & -SWAPPED) + ((chunk & (SWAPPED - 1)) ^ by));
}

// Begins to copy rows first, first + 1, ... of a head into a tile; zeros for those that it doesn't have.
template <int D, int ROWS>
__device__ __forceinline__ void copy_rows(bfloat16* tile, const bfloat16* head, int64_t row_step, int first, int rows) {
#pragma unroll 1  // unrolled, the addresses would take registers that the products need
  for (int i = threadIdx.x; i < ROWS * D / 8; i += THREADS) {
    const int row = i / (D / 8), chunk = i % (D / 8);
    const bool there = first + row < rows;
    copy_async_16(tile, place<D>(row, chunk), head + (there ? (first + row) * row_step + chunk * 8 : 0), there);
  }
}

// c += A B^T for A, 16 SLABS rows of a tile from `a_row` on, and B, COLUMNS rows of another. UNROLLED: how many
// fragments of a row at a time; 4 are enough to have the next on their way.
template <int D, int SLABS, int COLUMNS, int UNROLLED = 4>
__device__ __forceinline__ void multiply_rows(float (&c)[SLABS][COLUMNS / 8][4], const bfloat16* a, int a_row,
                                              const bfloat16* b) {
  const int lane = threadIdx.x % WARP;
#pragma unroll UNROLLED
  for (int k = 0; k < D / 16; ++k) {
    uint32_t of_a[SLABS][4];
#pragma unroll
    for (int i = 0; i < SLABS; ++i)  // 8 x 8 matrices: upper left, lower left, upper right, lower right
      ldmatrix_x4(of_a[i], a, place<D>(a_row + 16 * i + lane % 16, 2 * k + lane / 16));
#pragma unroll
    for (int j = 0; j < COLUMNS / 16; ++j) {
      uint32_t of_b[4];  // columns of B^T are rows of B: registers 0 and 1 of the first 8, 2 and 3 of the next
      ldmatrix_x4(of_b, b, place<D>(16 * j + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < SLABS; ++i) {
        mma_m16n8k16(c[i][2 * j], of_a[i], of_b[0], of_b[1]);
        mma_m16n8k16(c[i][2 * j + 1], of_a[i], of_b[2], of_b[3]);
      }
    }
  }
}

// c += W B for weights W, in float32 as a product left them, rounded to bfloat16 here, and B, DEPTH rows of a tile.
template <int D, int SLABS, int DEPTH>
__device__ __forceinline__ void multiply_weights(float (&c)[SLABS][D / 8][4], const float (&w)[SLABS][DEPTH / 8][4],
                                                 const bfloat16* b) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int k = 0; k < DEPTH / 16; ++k) {
    uint32_t of_w[SLABS][4];
#pragma unroll
    for (int i = 0; i < SLABS; ++i)
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const float(&half)[4] = w[i][2 * k + r / 2];
        of_w[i][r] = pack_bfloat16(half[r % 2 * 2], half[r % 2 * 2 + 1]);
      }
#pragma unroll
    for (int j = 0; j < D / 16; ++j) {
      uint32_t of_b[4];  // registers 0 and 1 of the first 8 columns, 2 and 3 of the next
      ldmatrix_x4_trans(of_b, b, place<D>(16 * k + lane % 16, 2 * j + lane / 16));
#pragma unroll
      for (int i = 0; i < SLABS; ++i) {
        mma_m16n8k16(c[i][2 * j], of_w[i], of_b[0], of_b[1]);
        mma_m16n8k16(c[i][2 * j + 1], of_w[i], of_b[2], of_b[3]);
      }
    }
  }
}

template <int SLABS, int COLUMNS>
__device__ __forceinline__ void set_to_zero(float (&c)[SLABS][COLUMNS][4]) {
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) c[i][j][r] = 0;
}

// Scores (or weights) of keys that a query doesn't see become `hidden`. Rows are queries and columns keys, or, where
// KEYS_FIRST, the other way round; query, key: those of the first row and column.
template <bool KEYS_FIRST, int SLABS, int COLUMNS>
__device__ __forceinline__ void hide(float (&c)[SLABS][COLUMNS][4], const Visibility& visibility, int query, int key,
                                     float hidden) {
  const int lane = threadIdx.x % WARP;
  const bool in_order = visibility.all_in_order(query, key + (KEYS_FIRST ? 16 * SLABS : 8 * COLUMNS));
  const auto query_of = [&](int i, int j, int r) {
    return query + (KEYS_FIRST ? 8 * j + lane % 4 * 2 + r % 2 : 16 * i + lane / 4 + r / 2 * 8);
  };
  const auto key_of = [&](int i, int j, int r) {
    return key + (KEYS_FIRST ? 16 * i + lane / 4 + r / 2 * 8 : 8 * j + lane % 4 * 2 + r % 2);
  };
  if (!in_order) {
#pragma unroll
    for (int i = 0; i < SLABS; ++i)
#pragma unroll
      for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
        for (int r = 0; r < 4; ++r)
          if (!visibility.in_order(query_of(i, j, r), key_of(i, j, r))) c[i][j][r] = hidden;
  }
  if (!visibility.mask) return;
  static_assert(SLABS * COLUMNS * 4 <= 64);
  uint64_t seen = 0;  // a bit for each score
#pragma unroll 4      // few registers: the bytes of the mask come a few at a time
  for (int n = 0; n < SLABS * COLUMNS * 4; ++n) {
    const int i = n / (4 * COLUMNS), j = n / 4 % COLUMNS, r = n % 4;
    seen |= (uint64_t)visibility.unmasked(query_of(i, j, r), key_of(i, j, r)) << n;
  }
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r)
        if (!(seen >> (4 * (i * COLUMNS + j) + r) & 1)) c[i][j][r] = hidden;
}

// Rows of the result, times a factor for each, by way of the warp's own rows of a tile, so that 16 bytes are written at
// a time. Rows a_row + ... of the tile become rows first + a_row + ... of the head, as far as it has them.
template <int D, int SLABS>
__device__ __forceinline__ void write_rows(const float (&c)[SLABS][D / 8][4], const float (&factor)[SLABS][2],
                                           bfloat16* tile, int a_row, bfloat16* head, int64_t row_step, int first,
                                           int rows) {
  const int lane = threadIdx.x % WARP;
  __syncwarp();
#pragma unroll
  for (int j = 0; j < D / 8; ++j)
#pragma unroll
    for (int i = 0; i < SLABS; ++i)
#pragma unroll
      for (int lower = 0; lower < 2; ++lower) {
        const int row = a_row + 16 * i + 8 * lower + lane / 4;
        *reinterpret_cast<uint32_t*>(tile + place<D>(row, j) + lane % 4 * 2) =
            pack_bfloat16(c[i][j][2 * lower] * factor[i][lower], c[i][j][2 * lower + 1] * factor[i][lower]);
      }
  __syncwarp();
#pragma unroll 4
  for (int i = lane; i < SLABS * 16 * D / 8; i += WARP) {
    const int row = a_row + i / (D / 8), chunk = i % (D / 8);
    if (first + row < rows)
      store_pack(head + (first + row) * row_step + chunk * 8, load_pack(tile + place<D>(row, chunk)));
  }
}

template <int SLABS, int COLUMNS>
__device__ __forceinline__ bool all_finite(const float (&c)[SLABS][COLUMNS][4]) {
  float nothing = 0;
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) nothing += c[i][j][r] * 0.0f;  // 0 or NaN
  return nothing == 0.0f;
}

// *noted: whether `mine` is true for any thread of the block. `vote`: shared memory that nobody needs any more.
static __device__ __forceinline__ void note_if_any(bool mine, uint8_t* noted, int* vote) {
  __syncthreads();
  if (threadIdx.x == 0) *vote = 0;
  __syncthreads();
  if (mine) *vote = 1;
  __syncthreads();
  if (threadIdx.x == 0) *noted = *vote;
}
