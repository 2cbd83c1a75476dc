// AdamW, sums of squares and scaling over many arrays in one launch (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter
// 2019, algorithm 2; Pascanu et al. 2013, algorithm 1).
//
// A block takes a chunk of one array. Which one stands in two tables: `chunks`, a pair (array, number of the chunk in
// it) for each block, and `table`, rows of `count` numbers: the arrays' sizes, whether they decay, then their
// addresses, a row for each kind of array. Arrays of all sizes so fill the device evenly.
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int64_t CHUNK = 1 << 14;  // elements; minillm/kernels/cuda/optim.py cuts the arrays

enum Row { SIZE, DECAYS, FIRST_ADDRESS };
enum Constant { GAIN1, GAIN2, EPS, STEP, ROOT, KEPT, SCALE };  // of the 8 floats of a step; the last is unused

struct Chunk {
  int64_t array, begin, size;
};

__device__ __forceinline__ Chunk this_chunk(const int* chunks, const int64_t* table) {
  const int64_t array = chunks[2 * blockIdx.x], begin = chunks[2 * blockIdx.x + 1] * CHUNK;
  return {array, begin, min(CHUNK, table[array] - begin)};
}

// Where this chunk of the array of kind `kind` begins.
__device__ __forceinline__ float* start(const Chunk& chunk, const int64_t* table, int64_t count, int kind) {
  return reinterpret_cast<float*>(table[(FIRST_ADDRESS + kind) * count + chunk.array]) + chunk.begin;
}

struct Adam {
  float gain1, gain2, eps, step, root, kept, scale;
};

// With g scaled:  m <- m + (1 - beta1)(g - m);  v <- v + (1 - beta2)(g^2 - v);
// theta <- kept theta - step m / (root sqrt(v) + eps).  At step t, with learning rate lr and weight decay lambda:
// step = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t), kept = 1 - lr lambda, gain1 = 1 - beta1, gain2 = 1 - beta2.
__device__ __forceinline__ void update(float& theta, float g, float& m, float& v, const Adam& c) {
  g *= c.scale;
  m += c.gain1 * (g - m);
  v += c.gain2 * (g * g - v);
  theta = theta * c.kept - c.step * (m / (sqrtf(v) * c.root + c.eps));
}

// addresses: theta, g, m, v; constants: 8 floats; scale: 1 float, theirs (SCALE) or another, of the
// gradients; NaN leaves everything as it is.
extern "C" __global__ __launch_bounds__(THREADS) void adam_step(const int* chunks, const int64_t* table, int64_t count,
                                                                const float* constants, const float* scale) {
  const Chunk chunk = this_chunk(chunks, table);
  const float kept = table[DECAYS * count + chunk.array] ? constants[KEPT] : 1.0f;
  const Adam c = {constants[GAIN1], constants[GAIN2], constants[EPS], constants[STEP], constants[ROOT], kept, *scale};
  if (c.scale != c.scale) return;
  float* const theta = start(chunk, table, count, 0);
  const float* const g = start(chunk, table, count, 1);
  float* const m = start(chunk, table, count, 2);
  float* const v = start(chunk, table, count, 3);
  const bool packed = is_aligned(theta) && is_aligned(g) && is_aligned(m) && is_aligned(v);
  constexpr int N = Pack<float>::size;
  const int64_t in_packs = packed ? chunk.size / N * N : 0;
  for (int64_t i = threadIdx.x * N; i < in_packs; i += THREADS * N) {
    Pack<float> of_theta = load_pack(theta + i), of_m = load_pack(m + i), of_v = load_pack(v + i);
    const Pack<float> of_g = load_pack(g + i);
#pragma unroll
    for (int j = 0; j < N; ++j) update(of_theta.values[j], of_g.values[j], of_m.values[j], of_v.values[j], c);
    store_pack(theta + i, of_theta);
    store_pack(m + i, of_m);
    store_pack(v + i, of_v);
  }
  for (int64_t i = in_packs + threadIdx.x; i < chunk.size; i += THREADS) update(theta[i], g[i], m[i], v[i], c);
}

// parts: a sum for each chunk.
extern "C" __global__ __launch_bounds__(THREADS) void sum_of_squares(const int* chunks, const int64_t* table,
                                                                     int64_t count, float* parts) {
  const Chunk chunk = this_chunk(chunks, table);
  const float* const x = start(chunk, table, count, 0);
  constexpr int N = Pack<float>::size;
  const int64_t in_packs = is_aligned(x) ? chunk.size / N * N : 0;
  float sums[N] = {};
#pragma unroll 4
  for (int64_t i = threadIdx.x * N; i < in_packs; i += THREADS * N) {
    const Pack<float> pack = load_pack(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sums[j] += pack.values[j] * pack.values[j];
  }
  for (int64_t i = in_packs + threadIdx.x; i < chunk.size; i += THREADS) sums[0] += x[i] * x[i];
  const float total = block_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

// total: the sum of n parts, in double and in one order. One block.
extern "C" __global__ __launch_bounds__(THREADS) void sum_parts(const float* parts, int64_t n, float* total) {
  __shared__ double sums[THREADS];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += THREADS) sum += parts[i];
  sums[threadIdx.x] = sum;
  for (int half = THREADS / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *total = (float)sums[0];
}

// scale: min(1, max_norm / norm), or NaN for a norm that isn't finite. total: norm^2. One thread.
extern "C" __global__ void clip_scale(const float* total, float max_norm, float* scale) {
  const float norm = sqrtf(*total);
  const float zero = norm - norm;  // or NaN
  *scale = zero + (norm > max_norm ? max_norm / norm : 1.0f);
}

// addresses: x; factor: 1 float; NaN leaves everything as it is.
extern "C" __global__ __launch_bounds__(THREADS) void scale_arrays(const int* chunks, const int64_t* table,
                                                                   int64_t count, const float* factor) {
  const float by = *factor;
  if (by != by || by == 1) return;
  const Chunk chunk = this_chunk(chunks, table);
  float* const x = start(chunk, table, count, 0);
  constexpr int N = Pack<float>::size;
  const int64_t in_packs = is_aligned(x) ? chunk.size / N * N : 0;
  for (int64_t i = threadIdx.x * N; i < in_packs; i += THREADS * N) {
    Pack<float> pack = load_pack(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) pack.values[j] *= by;
    store_pack(x + i, pack);
  }
  for (int64_t i = in_packs + threadIdx.x; i < chunk.size; i += THREADS) x[i] *= by;
}
