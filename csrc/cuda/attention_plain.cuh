// The two products of attention, by multiply-adds in float32, for rows of any length: a block of 16 x 16 threads makes
// SIDE x SIDE scores, 4 x 4 a thread, and multiplies them by rows of up to COLUMNS, 4 x 8 a thread.
#pragma once

#include "attention.cuh"

constexpr int ACROSS = 16, THREADS = ACROSS * ACROSS;
constexpr int EACH = 4, SIDE = ACROSS * EACH;          // scores: of a thread, of a block, in either direction
constexpr int COLUMNS = 128, WIDE = COLUMNS / ACROSS;  // of a block's result, of a thread's
constexpr int DEPTH = 32;                              // of what is multiplied at a time
constexpr int STRIDE = SIDE + 4;                       // of rows in shared memory: 16 bytes at a time, other banks

// Rows first, first + 1, ... of one head, each of d elements; there are `rows` of them.
template <class T>
struct Rows {
  const T* head;
  int64_t step;
  int first, rows, d;

  __device__ __forceinline__ float at(int i, int j) const {
    return first + i < rows && j < d ? to_float(head[(first + i) * step + j]) : 0.0f;
  }
};

template <class T>
__device__ __forceinline__ Rows<T> rows_of(const Heads<const T>& heads, int b, int h, int first, int rows, int d) {
  return {heads.of(b, h), heads.row, first, rows, d};
}

// Shared memory: 34 KB, so that 2 blocks fit on any SM.
struct Shared {
  float* pieces;   // 2 of (DEPTH, STRIDE), or one of (DEPTH, COLUMNS)
  float* weights;  // (SIDE, STRIDE)
};
constexpr int PIECES = 2 * DEPTH * STRIDE;
static_assert(DEPTH * COLUMNS <= PIECES);

// c = A B^T for SIDE rows of each; thread (ty, tx) has rows 4 ty ... of A, 4 tx ... of B.
template <class T>
__device__ __forceinline__ void multiply_rows(float (&c)[EACH][EACH], const Rows<T>& a, const Rows<T>& b,
                                              float* pieces) {
  const int across = threadIdx.x % ACROSS * EACH, down = threadIdx.x / ACROSS * EACH;
  float *of_a = pieces, *of_b = pieces + DEPTH * STRIDE;
#pragma unroll
  for (int i = 0; i < EACH; ++i)
#pragma unroll
    for (int j = 0; j < EACH; ++j) c[i][j] = 0;
  for (int begin = 0; begin < a.d; begin += DEPTH) {
    __syncthreads();
#pragma unroll 2  // more addresses at a time would take registers that the products need
    for (int i = threadIdx.x / DEPTH; i < SIDE; i += THREADS / DEPTH) {
      const int k = threadIdx.x % DEPTH;
      of_a[k * STRIDE + i] = a.at(i, begin + k);
      of_b[k * STRIDE + i] = b.at(i, begin + k);
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < DEPTH; ++k) {
      const Pack<float> x = load_pack(of_a + k * STRIDE + down), y = load_pack(of_b + k * STRIDE + across);
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) c[i][j] = fmaf(x.values[i], y.values[j], c[i][j]);
    }
  }
}

// Makes a thread's weights known to the others of its rows, all in one half of a warp, once that has waited.
static __device__ __forceinline__ void share_weights(const float (&w)[EACH][EACH], float* weights) {
  const int across = threadIdx.x % ACROSS * EACH, down = threadIdx.x / ACROSS * EACH;
  __syncwarp();  // who still reads the last ones
#pragma unroll
  for (int i = 0; i < EACH; ++i)
    store_pack(weights + (down + i) * STRIDE + across, Pack<float>{{w[i][0], w[i][1], w[i][2], w[i][3]}});
}

// c += W B for the shared weights W and columns column, column + 1, ... of SIDE rows of B; thread (ty, tx) has rows
// 4 ty ... and every 16th column from tx on. A weight of 0 leaves a row out, even if its values are NaN.
template <class T>
__device__ __forceinline__ void multiply_weights(float (&c)[EACH][WIDE], const Rows<T>& b, int column,
                                                 const Shared& shared) {
  const int across = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS * EACH;
  for (int begin = 0; begin < SIDE; begin += DEPTH) {
    __syncthreads();
    for (int k = threadIdx.x / COLUMNS; k < DEPTH; k += THREADS / COLUMNS) {
      const int j = threadIdx.x % COLUMNS;
      shared.pieces[k * COLUMNS + j] = b.at(begin + k, column + j);
    }
    __syncthreads();
#pragma unroll 2
    for (int k = 0; k < DEPTH; ++k)
#pragma unroll
      for (int i = 0; i < EACH; ++i) {
        const float w = shared.weights[(down + i) * STRIDE + begin + k];
        if (w != 0)
#pragma unroll
          for (int j = 0; j < WIDE; ++j) c[i][j] = fmaf(w, shared.pieces[k * COLUMNS + across + j * ACROSS], c[i][j]);
      }
  }
}

// A thread's columns of rows first + 4 ty ..., times a factor for each row.
template <class T>
__device__ __forceinline__ void write_rows(const float (&c)[EACH][WIDE], const float (&factor)[EACH], T* head,
                                           int64_t step, int first, int rows, int column, int d) {
  const int across = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS * EACH;
#pragma unroll
  for (int i = 0; i < EACH; ++i)
#pragma unroll
    for (int j = 0; j < WIDE; ++j) {
      const int row = first + down + i, at = column + across + j * ACROSS;
      if (row < rows && at < d) head[row * step + at] = from_float<T>(c[i][j] * factor[i]);
    }
}

template <int N>
__device__ __forceinline__ void set_to_zero(float (&c)[EACH][N]) {
#pragma unroll
  for (int i = 0; i < EACH; ++i)
#pragma unroll
    for (int j = 0; j < N; ++j) c[i][j] = 0;
}

// Whether a row is to be done here: where the kernel on tensor cores came first, those of tiles that it is unsure of.
static __device__ __forceinline__ bool is_to_do(const uint8_t* unsure, int queries, int row, int tile) {
  return !unsure || unsure[(int64_t)blockIdx.x * (padded(queries) / tile) + row / tile];
}
