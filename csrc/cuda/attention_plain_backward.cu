// Attention by multiply-adds in float32, backward; the formulas and the order of the sums are attention_backward.cu's.
// One kernel has a tile of keys a block and goes over the queries, for dK and dV; another a tile of queries and goes
// over the keys, for dQ.
#include "attention_dropout.cuh"
#include "attention_plain.cuh"

template <class T, class Drop>
__device__ __forceinline__ void gradients_of_keys(const Attention<T>& a, const Drop& dropout,
                                                  const Heads<const T>& d_o, int d_k, int d_v, const float* logarithms,
                                                  const float* sums, T* dk_out, T* dv_out) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared{memory, memory + PIECES};
  const int b = blockIdx.x / a.kv_heads, kv_head = blockIdx.x % a.kv_heads;
  const int first = blockIdx.y * SIDE, column = blockIdx.z * COLUMNS;
  const int across = threadIdx.x % ACROSS * EACH, down = threadIdx.x / ACROSS * EACH;
  const Rows<T> k = rows_of(a.k, b, kv_head, first, a.keys, d_k), v = rows_of(a.v, b, kv_head, first, a.keys, d_v);

  float dk[EACH][WIDE], dv[EACH][WIDE];
  set_to_zero(dk);
  set_to_zero(dv);
  for (int h = kv_head * a.group(); h < (kv_head + 1) * a.group(); ++h) {
    const Visibility visibility = a.visibility(b, h);
    const Drop of_head = dropout.of((int64_t)b * a.heads + h);
    const int64_t at = ((int64_t)b * a.heads + h) * padded(a.queries);
    for (int query = visibility.first_query(first) / SIDE * SIDE; query < a.queries; query += SIDE) {
      const Rows<T> q = rows_of(a.q, b, h, query, a.queries, d_k);
      const Rows<T> rows_of_d_o = rows_of(d_o, b, h, query, a.queries, d_v);
      float p[EACH][EACH], ds[EACH][EACH], factor[EACH][EACH];
      multiply_rows(p, k, q, shared.pieces);
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) {
          const int row = query + across + j;
          p[i][j] = row < a.queries && visibility.sees(row, first + down + i)
                        ? exp2f(rounded_product(p[i][j], a.scale * LOG2_E) - logarithms[at + row])
                        : 0;
        }
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j)
          factor[i][j] = of_head.factor(query + across + j, first + down + i), ds[i][j] = p[i][j] * factor[i][j];
      share_weights(ds, shared.weights);
      multiply_weights(dv, rows_of_d_o, column, shared);
      multiply_rows(ds, v, rows_of_d_o, shared.pieces);
#pragma unroll
      for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j)
          ds[i][j] = p[i][j] == 0 ? 0 : p[i][j] * (ds[i][j] * factor[i][j] - sums[at + query + across + j]);
      share_weights(ds, shared.weights);
      multiply_weights(dk, q, column, shared);
    }
  }
  const float by_scale[EACH] = {a.scale, a.scale, a.scale, a.scale}, by_one[EACH] = {1, 1, 1, 1};
  const Heads<T> dk_heads = heads_last(dk_out, a.kv_heads, a.keys, d_k);
  const Heads<T> dv_heads = heads_last(dv_out, a.kv_heads, a.keys, d_v);
  write_rows(dk, by_scale, dk_heads.of(b, kv_head), dk_heads.row, first, a.keys, column, d_k);
  write_rows(dv, by_one, dv_heads.of(b, kv_head), dv_heads.row, first, a.keys, column, d_v);
}

template <class T, class Drop>
__device__ __forceinline__ void gradient_of_queries(const Attention<T>& a, const Drop& dropout,
                                                    const Heads<const T>& d_o, int d_k, int d_v,
                                                    const float* logarithms, const float* sums, T* dq_out,
                                                    const uint8_t* unsure, int tile) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared{memory, memory + PIECES};
  const int b = blockIdx.x / a.heads, h = blockIdx.x % a.heads, kv_head = h / a.group();
  const int first = (gridDim.y - 1 - blockIdx.y) * SIDE, column = blockIdx.z * COLUMNS;
  const int across = threadIdx.x % ACROSS * EACH, down = threadIdx.x / ACROSS * EACH;
  if (!is_to_do(unsure, a.queries, first, tile)) return;
  const Visibility visibility = a.visibility(b, h);
  const Drop of_head = dropout.of(blockIdx.x);
  const int seen = visibility.keys_seen(first + SIDE);
  const int64_t at = (int64_t)blockIdx.x * padded(a.queries) + first + down;

  float dq[EACH][WIDE];
  set_to_zero(dq);
  for (int key = 0; key < seen; key += SIDE) {
    const Rows<T> k = rows_of(a.k, b, kv_head, key, a.keys, d_k), v = rows_of(a.v, b, kv_head, key, a.keys, d_v);
    float p[EACH][EACH], ds[EACH][EACH];
    multiply_rows(p, rows_of(a.q, b, h, first, a.queries, d_k), k, shared.pieces);
    multiply_rows(ds, rows_of(d_o, b, h, first, a.queries, d_v), v, shared.pieces);
#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
      for (int j = 0; j < EACH; ++j) {
        const bool sees = first + down + i < a.queries && visibility.sees(first + down + i, key + across + j);
        const float z = rounded_product(p[i][j], a.scale * LOG2_E), weight = sees ? exp2f(z - logarithms[at + i]) : 0;
        const float dp = ds[i][j] * of_head.factor(first + down + i, key + across + j);
        ds[i][j] = weight == 0 ? 0 : weight * (dp - sums[at + i]);
      }
    share_weights(ds, shared.weights);
    multiply_weights(dq, k, column, shared);
  }
  const float by_scale[EACH] = {a.scale, a.scale, a.scale, a.scale};
  const Heads<T> heads = heads_last(dq_out, a.heads, a.queries, d_k);
  write_rows(dq, by_scale, heads.of(b, h), heads.row, first, a.queries, column, d_k);
}

// D = sum_j dO_j O_j, one row to a thread, added up in the order in which multiply_rows adds up dP: where a query sees
// one key, the two are the same, and dS is 0; with dropout, but for the rounding of O = F V. n: batch heads
// padded(queries).
template <class T>
__device__ __forceinline__ void sums_of_rows(const Heads<const T>& d_o, const T* o, float* sums, int heads, int queries,
                                             int d, int64_t n) {
  const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  const int row = i % padded(queries), h = i / padded(queries) % heads, b = i / padded(queries) / heads;
  if (i >= n || row >= queries) return;
  const Heads<const T> of_o = heads_last(o, heads, queries, d);
  const T *x = d_o.of(b, h) + row * d_o.row, *y = of_o.of(b, h) + row * of_o.row;
  float sum = 0;
  for (int j = 0; j < d; ++j) sum = fmaf(to_float(x[j]), to_float(y[j]), sum);
  sums[i] = sum;
}

// As forward's; d_o: like o, strided; logarithms, sums: (batch, heads, padded(queries)); dq, dk, dv: (batch, time,
// heads, d). unsure, if given: which tiles of `tile` queries to do. Grids of (batch kv_heads, keys / SIDE, the larger
// of d_k and d_v / COLUMNS), and of (batch heads, queries / SIDE, d_k / COLUMNS) blocks.
#define ATTENTION_PLAIN_BACKWARD_OF(T, NAME, PARAMETERS, DROPOUT)                                                     \
  extern "C" __global__ __launch_bounds__(THREADS) void attention_plain_backward_keys_##NAME(                         \
      PARAMETERS, HEADS(T, d_o), int d_k, int d_v, const float* logarithms, const float* sums, T* dk, T* dv) {        \
    gradients_of_keys<T>(ATTENTION_GIVEN, DROPOUT, HEADS_GIVEN(d_o), d_k, d_v, logarithms, sums, dk, dv);             \
  }                                                                                                                   \
  extern "C" __global__ __launch_bounds__(THREADS, 2) void attention_plain_backward_queries_##NAME(                   \
      PARAMETERS, HEADS(T, d_o), int d_k, int d_v, const float* logarithms, const float* sums, T* dq,                 \
      const uint8_t* unsure, int tile) {                                                                              \
    gradient_of_queries<T>(ATTENTION_GIVEN, DROPOUT, HEADS_GIVEN(d_o), d_k, d_v, logarithms, sums, dq, unsure, tile); \
  }
#define ATTENTION_PLAIN_BACKWARD(T, NAME)                                                     \
  ATTENTION_PLAIN_BACKWARD_OF(T, NAME, ATTENTION_PARAMETERS(T), NoDropout{})                  \
  ATTENTION_PLAIN_BACKWARD_OF(T, NAME##_dropout, DROPOUT_PARAMETERS(T), DROPOUT_GIVEN)        \
  extern "C" __global__ __launch_bounds__(THREADS) void attention_plain_backward_sums_##NAME( \
      HEADS(T, d_o), const T* o, float* sums, int heads, int queries, int d, int64_t n) {     \
    sums_of_rows<T>(HEADS_GIVEN(d_o), o, sums, heads, queries, d, n);                         \
  }
ATTENTION_PLAIN_BACKWARD(float, float32)
ATTENTION_PLAIN_BACKWARD(bfloat16, bfloat16)
