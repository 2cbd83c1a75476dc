// Attention of one query in each head, as generating token by token has it: keys and values are read once, where
// they lie in the cache. o = sum_j e_j v_j / sum_j e_j,  e_j = exp(scale q k_j - largest).
#include "kernels.hpp"
#include "parallel.hpp"
#include "scratch.hpp"
#include "simd.hpp"

namespace minillm::ISA {

constexpr int KEYS_AT_A_TIME = 4;
constexpr int COLUMNS = 4;                   // vectors of the result that are summed side by side
constexpr int64_t GRAIN_FLOATS = 1 << 15;    // fewer of the cache aren't worth a second thread

// scores[j] = scale q k_j for COUNT neighbouring keys.
template <int COUNT>
static void scores_of(const float* q, const float* k, int64_t step, int64_t d, float scale, float* scores) {
  vec total[COUNT] = {};
  for (int64_t i = 0; i < d; i += LANES) {
    const vec part = load_up_to(q + i, d - i);
    for (int j = 0; j < COUNT; ++j) total[j] += part * load_up_to(k + j * step + i, d - i);
  }
  for (int j = 0; j < COUNT; ++j) scores[j] = sum(total[j]) * scale;
}

// Scores become e; their sum. Hidden keys, and all if nothing is to be seen, get 0.
static float exponentials(float* scores, const Booleans& mask, const bool* visible, int64_t keys) {
  const float nothing = -__builtin_inff();
  float top = nothing;
  for (int64_t j = 0; j < keys; ++j) {
    if (mask.data && !visible[j * mask.key]) scores[j] = nothing;
    top = scores[j] > top ? scores[j] : top;
  }
  const vec shift = broadcast(top == nothing ? 0.0f : top);  // -infinity - -infinity would be NaN
  vec total{};
  for (int64_t j = 0; j < keys; j += LANES) {
    const int64_t left = keys - j;
    vec e = exp(load_up_to(scores + j, left) - shift);
    if (left < LANES) e = only_first(e, left);
    store_up_to(scores + j, e, left);
    total += e;
  }
  return sum(total);
}

// o = sum_j e_j v_j / total. A weight of 0 keeps out even a value that is NaN.
static void weighted_sum(const float* e, float total, const float* v, int64_t step, int64_t keys, int64_t d, float* o) {
  const float factor = total == 0 ? 0.0f : 1 / total;
  for (int64_t i = 0; i < d; i += COLUMNS * LANES) {
    vec part[COLUMNS] = {};
    for (int64_t j = 0; j < keys; ++j) {
      if (e[j] == 0) continue;
      for (int c = 0; c < COLUMNS; ++c) {
        const int64_t at = i + c * LANES;
        if (at < d) part[c] += e[j] * load_up_to(v + j * step + at, d - at);
      }
    }
    for (int c = 0; c < COLUMNS; ++c)
      if (i + c * LANES < d) store_up_to(o + i + c * LANES, part[c] * factor, d - i - c * LANES);
  }
}

void attention_decode(const Attention& a, Heads q, Heads k, Heads v, HeadsOut o) {
  const int64_t group = a.heads / a.kv_heads, grain = GRAIN_FLOATS / (1 + a.keys * (a.d_k + a.d_v)) + 1;
  parallel_for(a.batch * a.heads, grain, [&](int64_t begin, int64_t end) {
    float* scores = (float*)scratch(a.keys * sizeof(float));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / a.heads, h = task % a.heads, shared = h / group;
      const float* query = q.data + b * q.batch + h * q.head;
      const float* keys = k.data + b * k.batch + shared * k.head;
      int64_t j = 0;
      for (; j + KEYS_AT_A_TIME <= a.keys; j += KEYS_AT_A_TIME)
        scores_of<KEYS_AT_A_TIME>(query, keys + j * k.row, k.row, a.d_k, a.scale, scores + j);
      for (; j < a.keys; ++j) scores_of<1>(query, keys + j * k.row, k.row, a.d_k, a.scale, scores + j);
      const bool* visible = a.mask.data ? a.mask.data + b * a.mask.batch + h * a.mask.head : nullptr;
      const float total = exponentials(scores, a.mask, visible, a.keys);
      weighted_sum(scores, total, v.data + b * v.batch + shared * v.head, v.row, a.keys, a.d_v,
                   o.data + b * o.batch + h * o.head);
    }
  });
}

}  // namespace minillm::ISA
