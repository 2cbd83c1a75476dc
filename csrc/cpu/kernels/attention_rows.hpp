// Attention for few queries, as when text is generated: query by query, keys and values read where they lie.
//
// A tile's lanes would be mostly empty, and each key is used too rarely to be worth a copy.
#pragma once

#include "kernels/attention_tile.hpp"

namespace minillm::ISA {

constexpr int64_t FEW = 8;  // queries, up to which this way is the faster one

// (q . key) for a packed query and a key in memory.
inline float dot(const float* q, const float* key, int64_t n) {
  vec total{};
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) total += load(q + j) * load(key + j);
  if (j < n) total += load(q + j) * load_first(key + j, n - j);
  return sum(total);
}

// o (LANES * V, or n if fewer) = sum_j weights[j] v[j], over the keys whose weight isn't 0: a hidden key's NaN can't
// reach the result.
template <int V>
inline void weighted_sum(int64_t keys, const float* weights, const float* v, int64_t v_row, int64_t n, float factor,
                         float* o) {
  vec total[V] = {};
  for (int64_t j = 0; j < keys; ++j) {
    if (weights[j] == 0) continue;
#pragma GCC unroll 4
    for (int c = 0; c < V; ++c)
      total[c] += weights[j] * (V > 1 || n >= LANES ? load(v + j * v_row + c * LANES) : load_first(v + j * v_row, n));
  }
  for (int c = 0; c < V; ++c)
    if (V > 1 || n >= LANES)
      store(o + c * LANES, total[c] * factor);
    else
      store_first(o, total[c] * factor, n);
}

inline bool at(const Booleans& x, int64_t b, int64_t h, int64_t query, int64_t key) {
  return !x.data || x.data[b * x.batch + h * x.head + query * x.query + key * x.key];
}

// Scores (a whole number of vectors) become 2^(score log2 e - top); sets top, returns their sum.
static float exponentials_of_row(int64_t n, float* scores, float* top) {
  vec most = broadcast(-__builtin_inff());
  for (int64_t i = 0; i < n; i += LANES) most = max(load(scores + i), most);
  *top = largest(most) * LOG2_E;
  const vec shift = broadcast(*top == -__builtin_inff() ? 0 : *top);
  vec total{};
  for (int64_t i = 0; i < n; i += LANES) {
    const vec e = exp2_of_negative(load(scores + i) * LOG2_E - shift);
    total += e;
    store(scores + i, e);
  }
  return sum(total);
}

inline int64_t row_scratch(const Attention& a) {
  return round_up(a.d_k, LANES) + round_up(a.keys, LANES);
}

// Query i of head h of sequence b; statistics[0] and [1] of its row go to `top` and `inverse`.
static void forward_row(const Attention& a, int64_t b, int64_t h, int64_t i, const float* query, const float* k,
                        int64_t k_row, const float* v, int64_t v_row, float* o, float* top, float* inverse,
                        float* scratch) {
  float *q = scratch, *scores = q + round_up(a.d_k, LANES);
  copy_padded(query, a.d_k, a.scale, q);
  const int64_t seen = keys_seen(a, i + 1), padded = round_up(seen, LANES);
  for (int64_t j = 0; j < padded; ++j)
    scores[j] = j < seen && at(a.mask, b, h, i, j) ? dot(q, k + j * k_row, a.d_k) : -__builtin_inff();
  const float total = exponentials_of_row(padded, scores, top);
  *inverse = total == 0 ? 0 : 1 / total;
  if (total == 0) *top = 0;
  for (int64_t j = 0; a.keep.data && j < seen; ++j)
    if (!at(a.keep, b, h, i, j)) scores[j] = 0;
  const float factor = *inverse * (a.keep.data ? a.keep_scale : 1);
  int64_t j = 0;
  for (; j + 4 * LANES <= a.d_v; j += 4 * LANES) weighted_sum<4>(seen, scores, v + j, v_row, a.d_v - j, factor, o + j);
  for (; j < a.d_v; j += LANES) weighted_sum<1>(seen, scores, v + j, v_row, a.d_v - j, factor, o + j);
}

}  // namespace minillm::ISA
