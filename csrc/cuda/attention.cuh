// What the kernels of attention have in common: where heads lie in memory, and which keys a query sees.
//
// Scores count in base 2: with z = q k scale log2 e, the weights are 2^(z - m) / sum 2^(z - m), m = max z. Saved is the
// logarithm of a row's sum, L = m + log2 sum 2^(z - m), so that backward has the weights again as 2^(z - L).
#pragma once

#include "common.cuh"

constexpr float LOG2_E = 1.4426950408889634f;
constexpr int PADDED = 128;  // rows of L, and of D in backward, are padded to a multiple of it with infinity (and 0)

static __device__ __forceinline__ int padded(int queries) { return (queries + PADDED - 1) / PADDED * PADDED; }

// A product rounded on its own, never part of a multiply-add: for the largest z = x y, z - m is 0, however large z is.
static __device__ __forceinline__ float rounded_product(float x, float y) {
#ifdef __CUDACC__
  return __fmul_rn(x, y);
#else
  volatile float product = x * y;
  return product;
#endif
}

// Rows of several heads: element j of row i is data[b * batch + h * head + i * row + j].
template <class T>
struct Heads {
  T* data;
  int64_t batch, head, row;

  __device__ __forceinline__ T* of(int b, int h) const { return data + b * batch + h * head; }
};

// As (batch, time, heads, d) lies: joining the heads copies nothing.
template <class T>
__device__ __forceinline__ Heads<T> heads_last(T* data, int heads, int time, int d) {
  return {data, (int64_t)time * heads * d, d, (int64_t)heads * d};
}

// The mask of one head, if there is one, the causal order, and the ends of queries and keys.
struct Visibility {
  const uint8_t* mask;
  int64_t query_step, key_step;
  int queries, keys;
  int ahead;  // query i sees keys up to i + ahead

  __device__ __forceinline__ bool in_order(int query, int key) const { return key < keys && key <= query + ahead; }
  __device__ __forceinline__ bool unmasked(int query, int key) const {
    return query < queries && key < keys && mask[query * query_step + key * key_step];
  }

  __device__ __forceinline__ bool sees(int query, int key) const {
    return in_order(query, key) && (!mask || unmasked(query, key));
  }

  // How many keys, from the first on, any query before `end` may see.
  __device__ __forceinline__ int keys_seen(int end) const { return min(keys, end + ahead); }

  // The first query that may see a key from `key` on.
  __device__ __forceinline__ int first_query(int key) const { return max(0, key - ahead); }

  // Whether, but for the mask, every query from `query` on sees all the keys before `end`.
  __device__ __forceinline__ bool all_in_order(int query, int end) const {
    return end <= keys && end - 1 <= query + ahead;
  }
};

template <class T>
struct Attention {
  Heads<const T> q, k, v;
  Heads<const uint8_t> mask;  // row: from query to query
  int64_t mask_key;
  int heads, kv_heads, queries, keys;
  int causal;
  float scale;

  __device__ __forceinline__ int group() const { return heads / kv_heads; }
  __device__ __forceinline__ Visibility visibility(int b, int h) const {
    const uint8_t* of_head = mask.data ? mask.of(b, h) : nullptr;
    return {of_head, mask.row, mask_key, queries, keys, causal ? keys - queries : keys};
  }
};

// The parameters of every kernel, and the struct they make up.
#define HEADS(T, name) const T* name, int64_t name##_batch, int64_t name##_head, int64_t name##_row
#define ATTENTION_PARAMETERS(T)                                                                                   \
  HEADS(T, q), HEADS(T, k), HEADS(T, v), HEADS(uint8_t, mask), int64_t mask_key, int heads, int kv_heads,         \
      int queries, int keys, int causal, float scale
#define HEADS_GIVEN(name) {name, name##_batch, name##_head, name##_row}
#define ATTENTION_GIVEN                                                                                       \
  {HEADS_GIVEN(q), HEADS_GIVEN(k), HEADS_GIVEN(v), HEADS_GIVEN(mask), mask_key, heads, kv_heads, queries, keys, \
   causal, scale}
