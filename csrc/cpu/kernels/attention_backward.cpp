// Attention, backward: the tiles of scores are computed anew from the row statistics that forward kept.
//
// With the weights P = 2^(S log2 e - m) / l, tile by tile (Dao et al. 2022, algorithm 4):
//   dV += P^T dO,  dP = dO V^T,  dS = P (dP - D),  D = sum_j dO_j O_j,  dQ += dS K scale,  dK += dS^T Q scale
#include "kernels/attention_tile.hpp"

namespace minillm::ISA {

namespace {

// A thread's scratch memory, one head's keys and values and one panel of queries, and a part's gradients dK and dV.
struct Backward {
  int64_t dk_width, dv_width;
  float *k, *v, *dk, *dv;            // (keys, dk_width), (keys, dv_width), and their gradients
  float *q, *q_columns;              // (PANEL, dk_width), (dk_width, PANEL)
  float *d_o, *d_o_columns;          // (PANEL, dv_width), (dv_width, PANEL)
  float *dq, *dq_columns, *clean;    // like q; (KEYS, dk_width)
  float *p, *ds, *factors;           // (KEYS, PANEL)
  float *m, *inverse, *d;            // (PANEL): m, 1 / l and D of each query
  int64_t size = 0, gradient_size;   // floats of all but dk and dv, and of those two

  Backward(const Attention& a, float* memory, float* gradients) {
    dk_width = round_up(a.d_k, LANES), dv_width = round_up(a.d_v, LANES);
    const int64_t keys = round_up(a.keys, KEYS);
    const auto take = [&](int64_t n) {
      size += n;
      return memory ? memory + size - n : nullptr;
    };
    dk = gradients, dv = gradients ? gradients + keys * dk_width : nullptr;
    k = take(keys * dk_width), v = take(keys * dv_width);
    q = take(PANEL * dk_width), q_columns = take(PANEL * dk_width);
    d_o = take(PANEL * dv_width), d_o_columns = take(PANEL * dv_width);
    dq = take(PANEL * dk_width), dq_columns = take(PANEL * dk_width), clean = take(KEYS * dk_width);
    p = take(KEYS * PANEL), ds = take(KEYS * PANEL), factors = take(KEYS * PANEL);
    m = take(PANEL), inverse = take(PANEL), d = take(PANEL);
    gradient_size = keys * (dk_width + dv_width);
  }
};

}  // namespace

// Queries times scale, dO, and each row's numbers but D. The rows that pad the panel get 1 / l = 0, so weights of 0.
static void load_panel(const Attention& a, const Backward& t, const Place& at, const Heads& q, const Heads& d_o,
                       const float* statistics) {
  pack_rows(head_of(q, at.b, at.h) + at.query * q.row, q.row, at.queries, a.d_k, a.scale, PANEL, t.q);
  transpose(PANEL, t.dk_width, t.q, t.dk_width, t.q_columns, PANEL);
  pack_rows(head_of(d_o, at.b, at.h) + at.query * d_o.row, d_o.row, at.queries, a.d_v, 1, PANEL, t.d_o);
  transpose(PANEL, t.dv_width, t.d_o, t.dv_width, t.d_o_columns, PANEL);
  const int64_t n = a.batch * a.heads * a.queries, row = (at.b * a.heads + at.h) * a.queries + at.query;
  std::memset(t.m, 0, 3 * PANEL * sizeof(float));
  std::memcpy(t.m, statistics + row, at.queries * sizeof(float));
  std::memcpy(t.inverse, statistics + n + row, at.queries * sizeof(float));
}

// D = dO . O, the sum over all keys of P dP.
static void sums_by_output(const Attention& a, const Backward& t, const Place& at, const Heads& o) {
  for (int64_t i = 0; i < at.queries; ++i) {
    const float* output = head_of(o, at.b, at.h) + (at.query + i) * o.row;
    vec d{};
    for (int64_t j = 0; j < a.d_v; j += LANES)
      d += load(t.d_o + i * t.dv_width + j) *
           (j + LANES <= a.d_v ? load(output + j) : load_first(output + j, a.d_v - j));
    t.d[i] = sum(d);
  }
}

// Scores in t.p become P.
static void probabilities(const Backward& t, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < PANEL; j += LANES) {
      float* p = t.p + i * PANEL + j;
      store(p, exp2_of_negative(load(p) * LOG2_E - load(t.m + j)) * load(t.inverse + j));
    }
}

// D, where one tile holds all the keys: the differences dP - D, then often small, come out more exactly.
static void sums_by_tile(const Backward& t, int64_t rows) {
  for (int64_t j = 0; j < PANEL; j += LANES) {
    vec d{};
    for (int64_t i = 0; i < rows; ++i) {
      const vec p = load(t.p + i * PANEL + j), dp = load(t.ds + i * PANEL + j);
      d += p == 0.0f ? vec{} : p * dp;
    }
    store(t.d + j, d);
  }
}

// dP in t.ds becomes dS. A weight of 0 hides a dP of NaN.
static void score_gradients(const Backward& t, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < PANEL; j += LANES) {
      const vec p = load(t.p + i * PANEL + j), dp = load(t.ds + i * PANEL + j);
      store(t.ds + i * PANEL + j, p == 0.0f ? vec{} : p * (dp - load(t.d + j)));
    }
}

// What one panel of queries adds to the gradients of its keys and values, and its own dQ.
static void backward_panel(const Attention& a, const Backward& t, bool finite, Place at) {
  std::memset(t.dq_columns, 0, t.dk_width * PANEL * sizeof(float));
  const int64_t seen = keys_seen(a, at.query + at.queries);
  for (at.key = 0; at.key < seen; at.key += KEYS) {
    at.keys = std::min(KEYS, seen - at.key);
    const int64_t rows = round_up(at.keys, ROWS);
    const float *k = t.k + at.key * t.dk_width, *v = t.v + at.key * t.dv_width;
    multiply<false, false>(rows, PANEL, a.d_k, k, t.dk_width, t.q_columns, PANEL, t.p, PANEL);
    hide(a, at, rows, t.p);
    multiply<false, false>(rows, PANEL, a.d_v, v, t.dv_width, t.d_o_columns, PANEL, t.ds, PANEL);
    probabilities(t, rows);
    if (a.keep.data) {
      boolean_tile(a.keep, at, a.keep_scale, t.factors);
      scale_by(t.factors, at.keys, t.ds);
    }
    if (seen <= KEYS) sums_by_tile(t, rows);
    score_gradients(t, rows);
    if (a.keep.data) scale_by(t.factors, at.keys, t.p);
    multiply<false, true>(rows, t.dv_width, PANEL, t.p, PANEL, t.d_o, t.dv_width, t.dv + at.key * t.dv_width,
                          t.dv_width);
    multiply<false, true>(rows, t.dk_width, PANEL, t.ds, PANEL, t.q, t.dk_width, t.dk + at.key * t.dk_width,
                          t.dk_width);
    add_weighted(k, at.keys, t.dk_width, t.ds, finite, t.clean, t.dq_columns);
  }
  transpose(t.dk_width, PANEL, t.dq_columns, PANEL, t.dq, t.dk_width);
}

// dQ of a part's queries, for all heads of queries that share one head of keys, and what they add to dK and dV.
static void backward_part(const Attention& a, const Backward& t, int64_t b, int64_t kv_head, const Part& part,
                          const Heads& q, const Heads& k, const Heads& v, const Heads& o, const float* statistics,
                          const Heads& d_o, const HeadsOut& dq) {
  const int64_t groups = a.heads / a.kv_heads, seen = keys_seen(a, part.end), rows = round_up(seen, ROWS);
  const bool finite = pack_rows(head_of(k, b, kv_head), k.row, seen, a.d_k, 1, rows, t.k);
  pack_rows(head_of(v, b, kv_head), v.row, seen, a.d_v, 1, rows, t.v);
  std::memset(t.dk, 0, t.gradient_size * sizeof(float));
  for (int64_t h = kv_head * groups; h < (kv_head + 1) * groups; ++h)
    for (int64_t query = part.begin; query < part.end; query += PANEL) {
      const Place at{b, h, query, std::min(PANEL, part.end - query), 0, 0};
      load_panel(a, t, at, q, d_o, statistics);
      if (keys_seen(a, query + at.queries) > KEYS) sums_by_output(a, t, at, o);
      backward_panel(a, t, finite, at);
      for (int64_t i = 0; i < at.queries; ++i)
        copy_out(t.dq + i * t.dk_width, a.d_k, a.scale, head_of(dq, b, h) + (query + i) * dq.row);
    }
}

// dK and dV of one head: the sums over its parts, in their order, added up in the first one's memory.
static void add_parts(const Attention& a, int64_t parts, const Backward& first, int64_t b, int64_t kv_head,
                      const HeadsOut& dk, const HeadsOut& dv) {
  for (int64_t i = first.gradient_size; i < parts * first.gradient_size; i += LANES) {
    float* sum = first.dk + i % first.gradient_size;
    store(sum, load(sum) + load(first.dk + i));
  }
  for (int64_t i = 0; i < a.keys; ++i) {
    copy_out(first.dk + i * first.dk_width, a.d_k, 1, head_of(dk, b, kv_head) + i * dk.row);
    copy_out(first.dv + i * first.dv_width, a.d_v, 1, head_of(dv, b, kv_head) + i * dv.row);
  }
}

constexpr int64_t LEAST = 8;  // panels in a part, to be worth its own dK and dV

int64_t attention_backward_scratch(const Attention& a, int most) {
  const int64_t parts = parts_of(a, LEAST, most);
  const Backward t(a, nullptr, nullptr);
  return most * t.size + (parts == 1 ? most : a.batch * a.kv_heads * parts) * t.gradient_size;
}

void attention_backward(const Attention& a, Heads q, Heads k, Heads v, Heads o, const float* statistics, Heads d_o,
                        HeadsOut dq, HeadsOut dk, HeadsOut dv, float* scratch, int most) {
  const int64_t pairs = a.batch * a.kv_heads, parts = parts_of(a, LEAST, most);
  const Backward sizes(a, nullptr, nullptr);
  const auto memory = [&](int thread, int64_t slot) {
    return Backward(a, scratch + thread * sizes.size, scratch + most * sizes.size + slot * sizes.gradient_size);
  };
  share_out(pairs * parts, most, [&](int64_t task, int thread) {
    const int64_t pair = task % pairs, b = pair / a.kv_heads, kv_head = pair % a.kv_heads;
    const int64_t part = parts - 1 - task / pairs;  // the last queries see most: they go first
    const Backward t = memory(thread, parts == 1 ? thread : pair * parts + part);
    backward_part(a, t, b, kv_head, part_of(a, part, parts), q, k, v, o, statistics, d_o, dq);
    if (parts == 1) add_parts(a, 1, t, b, kv_head, dk, dv);
  });
  if (parts == 1) return;
  share_out(pairs, most, [&](int64_t pair, int thread) {
    add_parts(a, parts, memory(thread, pair * parts), pair / a.kv_heads, pair % a.kv_heads, dk, dv);
  });
}

}  // namespace minillm::ISA
