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

// o += weight * value; weights of 0 were left out, so that a hidden key's NaN can't reach the result.
inline void add_row(float weight, const float* value, int64_t n, float* o) {
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) store(o + j, load(o + j) + weight * load(value + j));
  if (j < n) store(o + j, load(o + j) + weight * load_first(value + j, n - j));
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
  return round_up(a.d_k, LANES) + round_up(a.d_v, LANES) + round_up(a.keys, LANES);
}

// Query i of head h of sequence b; statistics[0] and [1] of its row go to `top` and `inverse`.
static void forward_row(const Attention& a, int64_t b, int64_t h, int64_t i, const float* query, const float* k,
                        int64_t k_row, const float* v, int64_t v_row, float* o, float* top, float* inverse,
                        float* scratch) {
  float *q = scratch, *sums = q + round_up(a.d_k, LANES), *scores = sums + round_up(a.d_v, LANES);
  copy_padded(query, a.d_k, a.scale, q);
  const int64_t seen = keys_seen(a, i + 1), padded = round_up(seen, LANES);
  for (int64_t j = 0; j < padded; ++j)
    scores[j] = j < seen && at(a.mask, b, h, i, j) ? dot(q, k + j * k_row, a.d_k) : -__builtin_inff();
  const float total = exponentials_of_row(padded, scores, top);
  *inverse = total == 0 ? 0 : 1 / total;
  if (total == 0) *top = 0;
  std::memset(sums, 0, round_up(a.d_v, LANES) * sizeof(float));
  for (int64_t j = 0; j < seen; ++j)
    if (scores[j] != 0 && at(a.keep, b, h, i, j)) add_row(scores[j], v + j * v_row, a.d_v, sums);
  copy_out(sums, a.d_v, *inverse * (a.keep.data ? a.keep_scale : 1), o);
}

}  // namespace minillm::ISA
