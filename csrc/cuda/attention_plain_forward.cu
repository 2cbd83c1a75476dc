// Attention by multiply-adds in float32, forward: O = softmax(Q K^T scale) V  [4.2.1] [4.2.2], in tiles, without ever
// holding the scores (Dao et al. 2022, algorithm 1). For float32, for heads of other sizes than the kernel on tensor
// cores has (attention_forward.cu), for a scale that isn't positive, and for tiles that that one is unsure of.
#include "attention_dropout.cuh"
#include "attention_plain.cuh"

// The sum or the maximum over the 16 threads of a row.
static __device__ __forceinline__ float row_sum(float x) {
#pragma unroll
  for (int mask = ACROSS / 2; mask; mask /= 2) x += __shfl_xor_sync(ALL_LANES, x, mask);
  return x;
}
static __device__ __forceinline__ float row_max(float x) {
#pragma unroll
  for (int mask = ACROSS / 2; mask; mask /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, mask));
  return x;
}

// Of each of a thread's rows: m, its part of the sum of 2^(z - m), and O so far, not yet divided.
struct Running {
  float top[EACH], total[EACH], o[EACH][WIDE];
};

// Scores z of one tile become 2^(z - m), for m of all keys so far; what was summed so far fades to fit.
static __device__ __forceinline__ void exponentials(float (&z)[EACH][EACH], Running& so_far) {
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const float before = so_far.top[i];
    const float m = fmaxf(before, row_max(fmaxf(fmaxf(z[i][0], z[i][1]), fmaxf(z[i][2], z[i][3]))));
    const float shift = m == -INFINITY ? 0 : m;  // -infinity - -infinity would be NaN
    const float fade = exp2f(before - shift);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < EACH; ++j) z[i][j] = exp2f(z[i][j] - shift), sum += z[i][j];
    so_far.top[i] = m;
    so_far.total[i] = so_far.total[i] * fade + sum;
#pragma unroll
    for (int j = 0; j < WIDE; ++j) so_far.o[i][j] = fade == 0 ? 0 : so_far.o[i][j] * fade;  // so does a NaN
  }
}

template <class T, class Drop>
__device__ __forceinline__ void attention_plain_forward(const Attention<T>& a, const Drop& dropout, int d_k, int d_v,
                                                        T* out, float* logarithms, const uint8_t* unsure) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared{memory, memory + PIECES};
  const int b = blockIdx.x / a.heads, h = blockIdx.x % a.heads, kv_head = h / a.group();
  const int first = (gridDim.y - 1 - blockIdx.y) * SIDE, column = blockIdx.z * COLUMNS;
  const int across = threadIdx.x % ACROSS * EACH, down = threadIdx.x / ACROSS * EACH;
  if (!is_to_do(unsure, a.queries, first, PADDED)) return;
  const Visibility visibility = a.visibility(b, h);
  const Drop of_head = dropout.of(blockIdx.x);
  const int seen = visibility.keys_seen(first + SIDE);

  Running so_far;
  set_to_zero(so_far.o);
#pragma unroll
  for (int i = 0; i < EACH; ++i) so_far.top[i] = -INFINITY, so_far.total[i] = 0;
  for (int key = 0; key < seen; key += SIDE) {
    float z[EACH][EACH];
    const Rows<T> q = rows_of(a.q, b, h, first, a.queries, d_k), k = rows_of(a.k, b, kv_head, key, a.keys, d_k);
    multiply_rows(z, q, k, shared.pieces);
#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
      for (int j = 0; j < EACH; ++j)
        z[i][j] = visibility.sees(first + down + i, key + across + j) ? rounded_product(z[i][j], a.scale * LOG2_E)
                                                                      : -INFINITY;
    exponentials(z, so_far);
#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
      for (int j = 0; j < EACH; ++j) z[i][j] *= of_head.factor(first + down + i, key + across + j);
    share_weights(z, shared.weights);
    multiply_weights(so_far.o, rows_of(a.v, b, kv_head, key, a.keys, d_v), column, shared);
  }

  float factor[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const float total = row_sum(so_far.total[i]);
    const int row = first + down + i;
    factor[i] = total == 0 ? 0 : 1 / total;
    if (across == 0 && column == 0 && row < a.queries)
      logarithms[(int64_t)blockIdx.x * padded(a.queries) + row] =
          total == 0 ? INFINITY : so_far.top[i] + log2f(total);
  }
  const Heads<T> o = heads_last(out, a.heads, a.queries, d_v);
  write_rows(so_far.o, factor, o.of(b, h), o.row, first, a.queries, column, d_v);
}

// q: (batch, heads, queries, d_k), k, v: (batch, kv_heads, keys, d_k or d_v); o: (batch, queries, heads, d_v);
// logarithms: (batch, heads, padded(queries)); unsure, if given: (batch, heads, padded(queries) / PADDED), which tiles
// to do. A grid of (batch heads, queries / SIDE, d_v / COLUMNS) blocks.
#define ATTENTION_PLAIN_FORWARD_OF(T, NAME, PARAMETERS, DROPOUT)                           \
  extern "C" __global__ __launch_bounds__(THREADS, 2) void attention_plain_forward_##NAME( \
      PARAMETERS, int d_k, int d_v, T* o, float* logarithms, const uint8_t* unsure) {      \
    attention_plain_forward<T>(ATTENTION_GIVEN, DROPOUT, d_k, d_v, o, logarithms, unsure); \
  }
#define ATTENTION_PLAIN_FORWARD(T, NAME)                                    \
  ATTENTION_PLAIN_FORWARD_OF(T, NAME, ATTENTION_PARAMETERS(T), NoDropout{}) \
  ATTENTION_PLAIN_FORWARD_OF(T, NAME##_dropout, DROPOUT_PARAMETERS(T), DROPOUT_GIVEN)
ATTENTION_PLAIN_FORWARD(float, float32)
ATTENTION_PLAIN_FORWARD(bfloat16, bfloat16)
