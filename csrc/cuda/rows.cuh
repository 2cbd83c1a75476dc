// What kernels over rows share: a team of threads for each row, and the sum of exponentials in one read
// (Milakov & Gimelshein 2018, algorithm 3).
//
// A block is (threads of a team, teams): the threads of one threadIdx.y have a row, and share its packs in turn.
#pragma once

#include "floats.cuh"

// load(j, values) for this thread's chunks of a row of n elements, j = 0, N, 2 N ... The values of the first CHUNKS are
// kept in registers. M is how many there are for a chunk: N, or more where several arrays are read.
template <int N, int M, int CHUNKS, class Load>
__device__ __forceinline__ void hold(int n, float (&held)[CHUNKS][M], Load load) {
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int j = (i * blockDim.x + threadIdx.x) * N;
    if (j < n) load(j, held[i]);
  }
}

// use(i, j, values) for the chunks held, i of CHUNKS.
template <int N, int M, int CHUNKS, class Use>
__device__ __forceinline__ void for_held(int n, float (&held)[CHUNKS][M], Use use) {
#pragma unroll
  for (int i = 0; i < CHUNKS; ++i) {
    const int j = (i * blockDim.x + threadIdx.x) * N;
    if (j < n) use(i, j, held[i]);
  }
}

// The same, and then for the chunks that are not held: they are read once more, and their i is CHUNKS, a constant, so
// that what depends on it is decided by the compiler.
template <int N, int M, int CHUNKS, class Load, class Use>
__device__ __forceinline__ void for_row(int n, float (&held)[CHUNKS][M], Load load, Use use) {
  for_held<N>(n, held, use);
  for (int j = (CHUNKS * blockDim.x + threadIdx.x) * N; j < n; j += blockDim.x * N) {
    float values[M];
    load(j, values);
    use(CHUNKS, j, values);
  }
}

__device__ __forceinline__ float from_lane(float x, int mask) { return __shfl_xor_sync(ALL_LANES, x, mask); }
__device__ __forceinline__ float2 from_lane(float2 x, int mask) {
  return make_float2(from_lane(x.x, mask), from_lane(x.y, mask));
}

// join of all the team's values, in each of its threads; join(empty, v) is v. All teams of a block come here together.
template <class V, class Join>
__device__ __forceinline__ V join_team(V v, V empty, Join join) {
#pragma unroll
  for (int mask = WARP / 2; mask; mask /= 2) v = join(v, from_lane(v, mask));
  const int warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
  if (warps == 1) return v;
  __shared__ V of_warps[WARP];
  V* team = of_warps + threadIdx.y * warps;
  __syncthreads();  // whoever still reads the last call's values
  if (lane == 0) team[threadIdx.x / WARP] = v;
  __syncthreads();
  v = lane < warps ? team[lane] : empty;
#pragma unroll
  for (int mask = WARP / 2; mask; mask /= 2) v = join(v, from_lane(v, mask));
  return v;
}

__device__ __forceinline__ float team_sum(float x) {
  return join_team(x, 0.0f, [](float a, float b) { return a + b; });
}
__device__ __forceinline__ float2 team_sum(float2 x) {
  return join_team(x, make_float2(0, 0), [](float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); });
}

constexpr float LOWEST = -3.402823466e38f;

// x: the largest element so far, at least LOWEST; y: the sum of exp(element - x). So a row that is all -infinity has
// the sum 0, not NaN. A NaN is no maximum, but makes the sum NaN.
using MaxSum = float2;

__device__ __forceinline__ MaxSum nothing_yet() { return make_float2(LOWEST, 0); }

template <int N>
__device__ __forceinline__ void include(MaxSum& total, const float (&values)[N]) {
  float largest = total.x;
#pragma unroll
  for (int k = 0; k < N; ++k) largest = fmaxf(largest, values[k]);
  float sum = total.y * __expf(total.x - largest);
#pragma unroll
  for (int k = 0; k < N; ++k) sum += __expf(values[k] - largest);
  total = make_float2(largest, sum);
}

__device__ __forceinline__ MaxSum team_max_sum(MaxSum total) {
  return join_team(total, nothing_yet(), [](MaxSum a, MaxSum b) {
    const bool first = a.x >= b.x;  // its sum stays: so both lanes of a pair have the same bits
    const MaxSum large = first ? a : b, small = first ? b : a;
    return make_float2(large.x, large.y + small.y * __expf(small.x - large.x));
  });
}
