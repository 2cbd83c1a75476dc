// What attention's forward and backward share: how work is cut, which scores are hidden, values that aren't finite.
//
// A tile of scores is kept transposed, (KEYS, PANEL): queries lie along the vectors, so that each query's maximum
// and sum are element-wise operations on whole vectors.
#pragma once

#include "kernels.hpp"
#include "kernels/tile.hpp"
#include "parallel.hpp"

namespace minillm::ISA {

constexpr int64_t KEYS = 64;  // in a tile of scores; PANEL (tile.hpp) queries are in one
constexpr float LOG2_E = 1.44269504f;

// The first row of one head.
inline const float* head_of(const Heads& x, int64_t b, int64_t h) { return x.data + b * x.batch + h * x.head; }
inline float* head_of(const HeadsOut& x, int64_t b, int64_t h) { return x.data + b * x.batch + h * x.head; }

// Run task(t, thread) for t in [0, n): who is free takes the next.
template <class Task>
static void share_out(int64_t n, int most, Task&& task) {
  int64_t next = 0;
  parallel((int)std::min<int64_t>(n, most), [&](int thread, int) {
    for (int64_t t; (t = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < n;) task(t, thread);
  });
}

// In how many parts to cut the queries of each pair (sequence, head of keys): one, if there are pairs enough to keep
// `most` threads equally busy. A part is at least `least` panels, for it packs the keys and values for itself.
inline int64_t parts_of(const Attention& a, int64_t least, int most) {
  const int64_t pairs = a.batch * a.kv_heads, wanted = 4 * most;
  if (most == 1 || pairs >= wanted || pairs == 0) return 1;
  return std::max<int64_t>(1, std::min(a.queries / (least * PANEL), (wanted + pairs - 1) / pairs));
}

// The queries of one part: whole panels, but for the last.
struct Part {
  int64_t begin, end;
};
inline Part part_of(const Attention& a, int64_t part, int64_t parts) {
  const int64_t panels = (a.queries + PANEL - 1) / PANEL;
  return {panels * part / parts * PANEL, std::min(a.queries, panels * (part + 1) / parts * PANEL)};
}

// How many keys, from the first, the queries before `end` see together.
inline int64_t keys_seen(const Attention& a, int64_t end) {
  return a.causal ? std::min(a.keys, end + a.keys - a.queries) : a.keys;
}

// 2^x for x <= 0, 0 below 2^-126, NaN for NaN: e^(s - M) is 2^(s log2 e - M log2 e).
//
// x = n + r with |r| <= 1/2; 2^r is the polynomial of degree 6 of least relative error (2e-9); n goes into the exponent
// bits. No overflow to mind, and fewer steps than simd.hpp's exp: exponentials are a tenth of forward's time.
inline vec exp2_of_negative(vec x) {
  const vec round = broadcast(ROUNDS + 127);  // the sum's last bits are n + 127
  const vec rounded = x + round;
  const vec r = x - (rounded - round);
  vec p = broadcast(0.00015353362f);
  p = p * r + 0.00133988739f;
  p = p * r + 0.00961843692f;
  p = p * r + 0.0555033237f;
  p = p * r + 0.240226477f;
  p = p * r + 0.693147182f;
  p = p * r + 1.0f;
  const vec power = (vec)((ivec)rounded << 23);
  return x < -126.0f ? vec{} : p * power;
}

// A tile's place: queries [query, query + queries) of head h of sequence b, keys [key, key + keys).
struct Place {
  int64_t b, h, query, queries, key, keys;
};

// to (KEYS, PANEL) = `yes` where x is true, else 0; row by row as x lies in memory, then transposed.
static void boolean_tile(const Booleans& x, const Place& at, float yes, float* to) {
  alignas(64) float rows[PANEL * KEYS] = {};
  const bool* from = x.data + at.b * x.batch + at.h * x.head + at.query * x.query + at.key * x.key;
  for (int64_t q = 0; q < at.queries; ++q, from += x.query)
    if (x.key == 1)
      for (int64_t i = 0; i < at.keys; ++i) rows[q * KEYS + i] = yes * from[i];
    else
      for (int64_t i = 0; i < at.keys; ++i) rows[q * KEYS + i] = yes * from[i * x.key];
  transpose(PANEL, KEYS, rows, KEYS, to, PANEL);
}

// Scores (rows, PANEL) of keys that a query may not see become -infinity, and so does what only pads the tile: `rows` is
// what the caller goes on to read, at least at.keys.
static void hide(const Attention& a, const Place& at, int64_t rows, float* scores) {
  const float hidden = -__builtin_inff();
  for (int64_t i = 0; i < at.keys; ++i)
    for (int64_t q = at.queries; q < PANEL; ++q) scores[i * PANEL + q] = hidden;
  for (int64_t i = at.keys; i < rows; ++i)
    for (int64_t q = 0; q < PANEL; ++q) scores[i * PANEL + q] = hidden;
  const int64_t offset = a.keys - a.queries;
  if (a.causal && at.key + at.keys - 1 > at.query + offset)
    for (int64_t i = 0; i < at.keys; ++i)
      for (int64_t q = 0; q < std::min(at.key + i - offset - at.query, PANEL); ++q) scores[i * PANEL + q] = hidden;
  if (!a.mask.data) return;
  alignas(64) float visible[KEYS * PANEL];
  boolean_tile(a.mask, at, 1, visible);
  for (int64_t i = 0; i < at.keys * PANEL; i += LANES)
    store(scores + i, load(visible + i) == 0.0f ? broadcast(hidden) : load(scores + i));
}

// x (keys, PANEL) *= factors
inline void scale_by(const float* factors, int64_t keys, float* x) {
  for (int64_t i = 0; i < keys * PANEL; i += LANES) store(x + i, load(x + i) * load(factors + i));
}

// sums (width, PANEL) += rows^T weights, the step that ends forward (rows: V) and makes dQ (rows: K), for
// rows (n, width) and weights (n, PANEL). 0 * NaN counts as 0: what a hidden key holds can't reach the result.
static void add_weighted(const float* rows, int64_t n, int64_t width, const float* weights, bool finite, float* clean,
                         float* sums) {
  if (finite) return multiply<true, true>(width, PANEL, n, rows, width, weights, PANEL, sums, PANEL);
  for (int64_t i = 0; i < n * width; ++i) clean[i] = rows[i] - rows[i] == 0 ? rows[i] : 0;
  multiply<true, true>(width, PANEL, n, clean, width, weights, PANEL, sums, PANEL);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < width; ++j)
      if (rows[i * width + j] - rows[i * width + j] != 0)
        for (int64_t q = 0; q < PANEL; ++q)
          if (weights[i * PANEL + q] != 0) sums[j * PANEL + q] = __builtin_nanf("");
}

}  // namespace minillm::ISA
