// What kernels over rows share: a team of threads for each row, and the sum of exponentials in one read
// (Milakov & Gimelshein 2018, algorithm 3).
//
// A block is (threads of a team, teams): the threads of one threadIdx.y are a team and have a row. Thread t of a team
// of T takes the row's packs t, t + T, t + 2 T ... N: elements of a pack, 1 where they are read one by one. M: floats
// held of a pack: N, or more where several arrays are read. PACKS: packs that a thread keeps in registers.
#pragma once

#include "floats.cuh"

// load(j, values) for this thread's first PACKS packs of a row of n elements; j: a pack's first element.
template <int N, int M, int PACKS, class Load>
__device__ __forceinline__ void hold(int n, float (&held)[PACKS][M], Load load) {
#pragma unroll
  for (int i = 0; i < PACKS; ++i) {
    const int j = (i * blockDim.x + threadIdx.x) * N;
    if (j < n) load(j, held[i]);
  }
}

// use(i, j, values) for the packs held, i of PACKS.
template <int N, int M, int PACKS, class Use>
__device__ __forceinline__ void for_held(int n, float (&held)[PACKS][M], Use use) {
#pragma unroll
  for (int i = 0; i < PACKS; ++i) {
    const int j = (i * blockDim.x + threadIdx.x) * N;
    if (j < n) use(i, j, held[i]);
  }
}

// The same, and then for the packs that are not held: they are read once more, and their i is PACKS, a constant, so
// that what depends on it is decided by the compiler.
template <int N, int M, int PACKS, class Load, class Use>
__device__ __forceinline__ void for_row(int n, float (&held)[PACKS][M], Load load, Use use) {
  for_held<N>(n, held, use);
  for (int j = (PACKS * blockDim.x + threadIdx.x) * N; j < n; j += blockDim.x * N) {
    float values[M];
    load(j, values);
    use(PACKS, j, values);
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

// max: the largest element so far, at least LOWEST; sum: of exp(element - max). So a row that is all -infinity has the
// sum 0, not NaN. A NaN is no maximum, but makes the sum NaN.
struct MaxSum {
  float max, sum;
};

__device__ __forceinline__ MaxSum nothing_yet() { return {LOWEST, 0}; }
__device__ __forceinline__ MaxSum from_lane(MaxSum x, int mask) {
  return {from_lane(x.max, mask), from_lane(x.sum, mask)};
}

template <int N>
__device__ __forceinline__ void include(MaxSum& total, const float (&values)[N]) {
  float largest = total.max;
#pragma unroll
  for (int k = 0; k < N; ++k) largest = fmaxf(largest, values[k]);
  float sum = total.sum * __expf(total.max - largest);
#pragma unroll
  for (int k = 0; k < N; ++k) sum += __expf(values[k] - largest);
  total = {largest, sum};
}

__device__ __forceinline__ MaxSum team_max_sum(MaxSum total) {
  return join_team(total, nothing_yet(), [](MaxSum a, MaxSum b) {
    const bool first = a.max >= b.max;  // its sum stays: so both lanes of a pair have the same bits
    const MaxSum large = first ? a : b, small = first ? b : a;
    return MaxSum{large.max, large.sum + small.sum * __expf(small.max - large.max)};
  });
}
