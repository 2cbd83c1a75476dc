// Attention, forward: O = softmax(Q K^T scale) V, one panel of queries after the other.
//
// For each tile of keys (Dao et al. 2022, algorithm 1): scores S^T = K Q^T; m (`top`), the running maximum of each query's
// scores times log2 e; E = 2^(S log2 e - m); their running sum l (`total`) and O^T += V^T E, both first times
// 2^(old m - new m). At the end O is divided by l. Dropout takes out of E after l is summed: softmax comes first.
#include "kernels/attention_rows.hpp"
#include "kernels/attention_tile.hpp"

namespace minillm::ISA {

namespace {

// A thread's scratch memory: one head's keys and values, and one panel of queries.
struct Forward {
  int64_t dk_width, dv_width;
  float *k, *v;             // (keys, dk_width), (keys, dv_width)
  float *q, *q_columns;     // (PANEL, dk_width), (dk_width, PANEL)
  float *scores, *factors;  // (KEYS, PANEL)
  float *clean;             // (KEYS, dv_width)
  float *o_columns, *o;     // (dv_width, PANEL), (PANEL, dv_width)
  int64_t size;             // floats

  Forward(const Attention& a, float* memory) {
    dk_width = round_up(a.d_k, LANES), dv_width = round_up(a.d_v, LANES);
    const int64_t keys = round_up(a.keys, KEYS);
    size = 0;
    const auto take = [&](int64_t n) {
      size += n;
      return memory ? memory + size - n : nullptr;
    };
    k = take(keys * dk_width), v = take(keys * dv_width);
    q = take(PANEL * dk_width), q_columns = take(PANEL * dk_width);
    scores = take(KEYS * PANEL), factors = take(KEYS * PANEL);
    clean = take(KEYS * dv_width);
    o_columns = take(PANEL * dv_width), o = take(PANEL * dv_width);
  }
};

}  // namespace

// What is known of a vector of queries so far: the largest score, times log2 e, and the sum of 2^(score log2 e - top).
struct Running {
  vec top = broadcast(-__builtin_inff()), total{};
};

// Scores (keys, PANEL) become E; the sums so far, total and o, are made to fit the new maximum.
static void exponentials(int64_t keys, int64_t dv_width, float* scores, Running* running, float* o_columns) {
  for (int j = 0; j < PANEL / LANES; ++j) {
    vec largest_score = broadcast(-__builtin_inff());
    for (int64_t i = 0; i < keys; ++i) largest_score = max(load(scores + i * PANEL + j * LANES), largest_score);
    const vec before = running[j].top, top = max(largest_score * LOG2_E, before);
    const vec shift = top == -__builtin_inff() ? vec{} : top;  // -infinity - -infinity would be NaN
    vec total{};
    for (int64_t i = 0; i < keys; ++i) {
      float* s = scores + i * PANEL + j * LANES;
      const vec e = exp2_of_negative(load(s) * LOG2_E - shift);
      total += e;
      store(s, e);
    }
    const vec fade = exp2_of_negative(before - shift);
    running[j] = {top, running[j].total * fade + total};
    if (largest(fade != 1.0f ? broadcast(1) : vec{}) == 0) continue;
    for (int64_t i = 0; i < dv_width; ++i) {  // where all so far fades to nothing, so does a NaN
      float* o = o_columns + i * PANEL + j * LANES;
      store(o, fade == 0.0f ? vec{} : load(o) * fade);
    }
  }
}

// One panel of queries of one head, whose keys and values are packed.
static void forward_panel(const Attention& a, const Forward& t, bool finite, Place at, const float* q,
                          int64_t q_row, float* o, int64_t o_row, float* statistics) {
  pack_rows(q + at.query * q_row, q_row, at.queries, a.d_k, a.scale, PANEL, t.q);
  transpose(PANEL, t.dk_width, t.q, t.dk_width, t.q_columns, PANEL);
  std::memset(t.o_columns, 0, t.dv_width * PANEL * sizeof(float));
  Running running[PANEL / LANES];
  const int64_t seen = keys_seen(a, at.query + at.queries);
  for (at.key = 0; at.key < seen; at.key += KEYS) {
    at.keys = std::min(KEYS, seen - at.key);
    multiply<false, false>(round_up(at.keys, ROWS), PANEL, a.d_k, t.k + at.key * t.dk_width, t.dk_width, t.q_columns,
                           PANEL, t.scores, PANEL);
    hide(a, at, at.keys, t.scores);
    exponentials(at.keys, t.dv_width, t.scores, running, t.o_columns);
    if (a.keep.data) {
      boolean_tile(a.keep, at, a.keep_scale, t.factors);
      scale_by(t.factors, at.keys, t.scores);
    }
    add_weighted(t.v + at.key * t.dv_width, at.keys, t.dv_width, t.scores, finite, t.clean, t.o_columns);
  }
  transpose(t.dv_width, PANEL, t.o_columns, PANEL, t.o, t.dv_width);
  const int64_t n = a.batch * a.heads * a.queries, row = (at.b * a.heads + at.h) * a.queries + at.query;
  for (int64_t i = 0; i < at.queries; ++i) {
    const float total = running[i / LANES].total[i % LANES], inverse = total == 0 ? 0 : 1 / total;
    copy_out(t.o + i * t.dv_width, a.d_v, inverse, o + (at.query + i) * o_row);
    statistics[row + i] = total == 0 ? 0 : running[i / LANES].top[i % LANES];
    statistics[n + row + i] = inverse;
  }
}

// All queries, row by row.
static void forward_rows(const Attention& a, const Heads& q, const Heads& k, const Heads& v, const HeadsOut& o,
                         float* statistics, float* scratch, int most) {
  const int64_t groups = a.heads / a.kv_heads, n = a.batch * a.heads * a.queries;
  share_out(n, most, [&](int64_t row, int thread) {
    const int64_t b = row / a.queries / a.heads, h = row / a.queries % a.heads, i = row % a.queries;
    forward_row(a, b, h, i, head_of(q, b, h) + i * q.row, head_of(k, b, h / groups), k.row, head_of(v, b, h / groups),
                v.row, head_of(o, b, h) + i * o.row, statistics + row, statistics + n + row,
                scratch + thread * row_scratch(a));
  });
}

int64_t attention_forward_scratch(const Attention& a, int most) {
  return most * (a.queries <= FEW ? row_scratch(a) : Forward(a, nullptr).size);
}

void attention_forward(const Attention& a, Heads q, Heads k, Heads v, HeadsOut o, float* statistics, float* scratch,
                       int most) {
  if (a.queries <= FEW) return forward_rows(a, q, k, v, o, statistics, scratch, most);
  const int64_t groups = a.heads / a.kv_heads, pairs = a.batch * a.kv_heads, parts = parts_of(a, 1, most);
  const int64_t floats = Forward(a, nullptr).size;
  share_out(pairs * parts, most, [&](int64_t task, int thread) {
    const int64_t b = task % pairs / a.kv_heads, kv_head = task % pairs % a.kv_heads;
    const Part part = part_of(a, parts - 1 - task / pairs, parts);  // the last queries see most: they go first
    const Forward t(a, scratch + thread * floats);
    const int64_t seen = keys_seen(a, part.end), rows = round_up(seen, ROWS);
    pack_rows(head_of(k, b, kv_head), k.row, seen, a.d_k, 1, rows, t.k);
    const bool finite = pack_rows(head_of(v, b, kv_head), v.row, seen, a.d_v, 1, rows, t.v);
    for (int64_t h = kv_head * groups; h < (kv_head + 1) * groups; ++h)
      for (int64_t query = part.begin; query < part.end; query += PANEL) {
        const Place at{b, h, query, std::min(PANEL, part.end - query), 0, 0};
        forward_panel(a, t, finite, at, head_of(q, b, h), q.row, head_of(o, b, h), o.row, statistics);
      }
  });
}

}  // namespace minillm::ISA
