// Scaled dot-product attention without the matrix of scores: tiles of it come and go (Dao et al. 2022).
#pragma once

#include <cstdint>

namespace minillm {

// (batch, heads, rows, d) floats in any memory order but for d, whose elements are neighbours; steps in floats.
struct Heads {
  const float* data;
  int64_t batch, head, row;
};
struct HeadsOut {
  float* data;
  int64_t batch, head, row;
};

// (batch, heads, queries, keys) booleans, any steps, 0 where broadcast; data is null where all are true.
struct Booleans {
  const bool* data;
  int64_t batch, head, query, key;
};

struct Attention {
  int64_t batch, heads, kv_heads, queries, keys, d_k, d_v;
  bool causal;  // query i sees keys up to i + keys - queries
  float scale;
  Booleans mask;     // true where a query may look
  Booleans keep;     // dropout: true where a weight stays
  float keep_scale;  // 1 / (1 - p)
};

}  // namespace minillm

// q (batch, heads, queries, d_k), k (batch, kv_heads, keys, d_k), v (batch, kv_heads, keys, d_v), o like q with d_v.
// statistics: (2, batch, heads, queries), for each row top = its largest score times log2 e, and 1 / its sum of
// 2^(score log2 e - top); both 0 where it sees no key.
// scratch: as many floats as the function before says for `most` threads, on a 64-byte boundary.
// attention_decode: one query in each head, no dropout, nothing kept for a backward pass.
#define MINILLM_ATTENTION_KERNELS(KERNEL)                                                                           \
  KERNEL(attention_forward_scratch, int64_t(const Attention& a, int most))                                          \
  KERNEL(attention_forward, void(const Attention& a, Heads q, Heads k, Heads v, HeadsOut o, float* statistics,      \
                                 float* scratch, int most))                                                         \
  KERNEL(attention_decode, void(const Attention& a, Heads q, Heads k, Heads v, HeadsOut o))                         \
  KERNEL(attention_backward_scratch, int64_t(const Attention& a, int most))                                         \
  KERNEL(attention_backward, void(const Attention& a, Heads q, Heads k, Heads v, Heads o, const float* statistics,  \
                                  Heads d_o, HeadsOut dq, HeadsOut dk, HeadsOut dv, float* scratch, int most))
