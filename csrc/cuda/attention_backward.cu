// Attention in bfloat16 on tensor cores, backward (Dao et al. 2022, algorithm 4; Dao 2023, algorithm 2): from q, k, v,
// o and the logarithms L of forward,
//
//   P = 2^(z - L),  D = sum_j dO_j O_j,  dV = P^T dO,  dP = dO V^T,  dS = P (dP - D),
//   dQ = dS K scale,  dK = dS^T Q scale.
//
// Dropout (attention_dropout.cuh) makes it dV = (P F)^T dO and dP = (dO V^T) F. D stays: what is subtracted is
// sum_k P_k dP_k = sum_k P_k F_k sum_j dO_j V_kj = sum_j dO_j O_j, since O has the factors in it.
//
// One kernel has a tile of keys a block and goes over the queries, for dK and dV; another a tile of queries and goes
// over the keys, for dQ. Scores and dP are computed in both: 7 products, instead of the 5 of a single kernel in which
// blocks would add to dQ in the order in which they happen to come. The sums here have one order, so the same bits
// every time. And what the first product leaves in registers is what the second one takes: for dK and dV the scores are
// computed transposed. Query heads that share keys come one after the other in the same block.
//
//     d    rows of a block   rows a step   shared memory   blocks on an SM by it, compute capability 8.0 and 9.0
//     32         128             32           24.5 KB         6      9
//     64         128             32           48.5 KB         3      4
//     96          64             32           48.5 KB         3      4
//    128          64             32           64.5 KB         2      3
//
// (dQ takes half a KB less.) Registers allow 2 blocks, for dQ 3 but with d = 64.
//
// Where a key's NaN is hidden from a query, its weight, and so dS, is 0; but 0 times NaN is NaN in dS K. A tile whose
// dQ isn't finite is noted as unsure, and attention_plain_backward.cu does it once more. Scores beyond 2^30, where
// z - L, a multiply-add, means nothing, have gradients that mean nothing either.
#include "attention_dropout.cuh"
#include "attention_tile.cuh"

template <int D>
struct Backward {
  static constexpr int SLABS = D <= 64 ? 2 : 1;  // of 16 rows, for each warp
  static constexpr int ROWS = 16 * SLABS * WARPS, STEP = 32;
  static constexpr int BLOCKS_ON_SM = 2;
  static_assert(PADDED % ROWS == 0 && PADDED % STEP == 0);

  // Shared memory: two tiles of a block's own rows, then twice two tiles of a step's rows.
  static constexpr int FIRST = 0, SECOND = ROWS * D, STEPS = 2 * ROWS * D, STAGE = 2 * STEP * D;
};

// What a product adds dO V^T to: -D, but with dropout, which first multiplies the product, 0.
template <class Drop, int SLABS, int COLUMNS, class Row>
__device__ __forceinline__ void begin_score_gradients(float (&ds)[SLABS][COLUMNS][4], Row d_of) {
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) ds[i][j][r] = Drop::DROPS ? 0 : -d_of(i, j, r);
}

// What has become of that, dP - D or dO V^T, becomes dS. A weight of 0 hides a dP of NaN: that of a key out of sight.
template <class Drop, int SLABS, int COLUMNS, class Stays, class Row>
__device__ __forceinline__ void score_gradients(float (&ds)[SLABS][COLUMNS][4], const float (&p)[SLABS][COLUMNS][4],
                                                const Drop& dropout, const Stays& kept, Row d_of) {
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        if constexpr (Drop::DROPS)
          ds[i][j][r] = fmaf(ds[i][j][r], kept.stays(i, j, r) ? dropout.scale : 0.0f, -d_of(i, j, r));
        ds[i][j][r] = p[i][j][r] == 0 ? 0 : p[i][j][r] * ds[i][j][r];
      }
}

// Scores become weights 2^(z - L).
template <int SLABS, int COLUMNS, class Row>
__device__ __forceinline__ void weights(float (&s)[SLABS][COLUMNS][4], float to_z, Row logarithm_of) {
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) s[i][j][r] = exp2_approximate(fmaf(s[i][j][r], to_z, -logarithm_of(i, j, r)));
}

// P F.
template <class Drop, int SLABS, int COLUMNS, class Stays>
__device__ __forceinline__ void drop(float (&dropped)[SLABS][COLUMNS][4], const float (&p)[SLABS][COLUMNS][4],
                                     const Drop& dropout, const Stays& kept) {
#pragma unroll
  for (int i = 0; i < SLABS; ++i)
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) dropped[i][j][r] = p[i][j][r] * (kept.stays(i, j, r) ? dropout.scale : 0.0f);
}

template <int D, class Drop>
__device__ __forceinline__ void gradients_of_keys(const Attention<bfloat16>& a, const Drop& dropout,
                                                  const Heads<const bfloat16>& d_o, const float* logarithms,
                                                  const float* sums, bfloat16* dk_out, bfloat16* dv_out) {
  using B = Backward<D>;
  DYNAMIC_SHARED(bfloat16, memory);
  float* const of_rows = reinterpret_cast<float*>(memory + B::STEPS + 2 * B::STAGE);  // L and D of a step, twice
  const int b = blockIdx.x / a.kv_heads, kv_head = blockIdx.x % a.kv_heads, lane = threadIdx.x % WARP;
  const int first = blockIdx.y * B::ROWS;               // causal, the first keys are seen by most: they go first
  const int first_row = threadIdx.x / WARP * 16 * B::SLABS;  // this warp's first row of the tile
  const int first_query = a.visibility(b, 0).first_query(first) / B::STEP * B::STEP;
  const int end = first_query < a.queries ? (kv_head + 1) * a.group() : 0;  // of the heads
  const auto copy_queries = [&](int h, int query, int stage_number) {
    bfloat16* stage = memory + B::STEPS + stage_number * B::STAGE;
    copy_rows<D, B::STEP>(stage, a.q.of(b, h), a.q.row, query, a.queries);
    copy_rows<D, B::STEP>(stage + B::STEP * D, d_o.of(b, h), d_o.row, query, a.queries);
    const int64_t at = ((int64_t)b * a.heads + h) * padded(a.queries) + query;
    const int i = threadIdx.x % (B::STEP / 4), which = threadIdx.x / (B::STEP / 4);
    if (which < 2)
      copy_async_16(reinterpret_cast<bfloat16*>(of_rows), 2 * (B::STEP * (2 * stage_number + which) + 4 * i),
                    (which ? sums : logarithms) + at + 4 * i, true);
    commit_copies();
  };

  constexpr int unrolled = Drop::DROPS && D == 64 ? 2 : 4;  // registers wouldn't suffice for 4
  float dk[B::SLABS][D / 8][4], dv[B::SLABS][D / 8][4];
  set_to_zero(dk);
  set_to_zero(dv);
  copy_rows<D, B::ROWS>(memory + B::FIRST, a.k.of(b, kv_head), a.k.row, first, a.keys);
  copy_rows<D, B::ROWS>(memory + B::SECOND, a.v.of(b, kv_head), a.v.row, first, a.keys);
  commit_copies();
  int h = kv_head * a.group(), query = first_query;
  if (h < end) copy_queries(h, query, 0);
#pragma unroll 1
  for (int stage = 0; h < end; stage ^= 1) {
    Kept<Drop, true, B::SLABS, B::STEP / 8> kept;
    kept.read(dropout.of((int64_t)b * a.heads + h), query, first + first_row);
    wait_for_copies<0>();
    __syncthreads();  // this step's rows have come, and everyone is done with the last's, whose place the next take
    const bool last = query + B::STEP >= a.queries;  // of this head
    const int next_h = h + last, next_query = last ? first_query : query + B::STEP;
    if (next_h < end) copy_queries(next_h, next_query, stage ^ 1);
    const bfloat16 *q = memory + B::STEPS + stage * B::STAGE, *d_o_tile = q + B::STEP * D;
    const float* of_step = of_rows + stage * 2 * B::STEP + lane % 4 * 2;
    float p[B::SLABS][B::STEP / 8][4], ds[B::SLABS][B::STEP / 8][4];
    set_to_zero(p);
    multiply_rows<D, B::SLABS, B::STEP>(p, memory + B::FIRST, first_row, q);
    weights(p, a.scale * LOG2_E, [&](int, int j, int r) { return of_step[8 * j + r % 2]; });
    hide<true>(p, a.visibility(b, h), query, first + first_row, 0.0f);
    drop(ds, p, dropout, kept);  // ds: only because it is free
    multiply_weights<D, B::SLABS, B::STEP>(dv, ds, d_o_tile);
    const auto d_of = [&](int, int j, int r) { return of_step[B::STEP + 8 * j + r % 2]; };
    begin_score_gradients<Drop>(ds, d_of);
    multiply_rows<D, B::SLABS, B::STEP, unrolled>(ds, memory + B::SECOND, first_row, d_o_tile);
    score_gradients(ds, p, dropout, kept, d_of);
    multiply_weights<D, B::SLABS, B::STEP>(dk, ds, q);
    h = next_h, query = next_query;
  }
  wait_for_copies<0>();
  __syncthreads();

  float by_scale[B::SLABS][2], by_one[B::SLABS][2];
#pragma unroll
  for (int i = 0; i < B::SLABS; ++i) by_scale[i][0] = by_scale[i][1] = a.scale, by_one[i][0] = by_one[i][1] = 1;
  const Heads<bfloat16> dk_heads = heads_last(dk_out, a.kv_heads, a.keys, D);
  const Heads<bfloat16> dv_heads = heads_last(dv_out, a.kv_heads, a.keys, D);
  write_rows<D, B::SLABS>(dk, by_scale, memory + B::FIRST, first_row, dk_heads.of(b, kv_head), dk_heads.row, first,
                          a.keys);
  write_rows<D, B::SLABS>(dv, by_one, memory + B::SECOND, first_row, dv_heads.of(b, kv_head), dv_heads.row, first,
                          a.keys);
}

template <int D, class Drop>
__device__ __forceinline__ void gradient_of_queries(const Attention<bfloat16>& a, const Drop& dropout,
                                                    const Heads<const bfloat16>& d_o, const float* logarithms,
                                                    const float* sums, bfloat16* dq_out, uint8_t* unsure) {
  using B = Backward<D>;
  DYNAMIC_SHARED(bfloat16, memory);
  const int b = blockIdx.x / a.heads, h = blockIdx.x % a.heads, lane = threadIdx.x % WARP;
  const int first = (gridDim.y - 1 - blockIdx.y) * B::ROWS;  // causal, the last queries take longest: they go first
  const int first_row = threadIdx.x / WARP * 16 * B::SLABS;       // this warp's first row of the tile
  const Visibility visibility = a.visibility(b, h);
  const Drop of_head = dropout.of(blockIdx.x);
  const int seen = visibility.keys_seen(first + B::ROWS);
  const auto copy_keys = [&](int key) {
    bfloat16* stage = memory + B::STEPS + key / B::STEP % 2 * B::STAGE;
    copy_rows<D, B::STEP>(stage, a.k.of(b, h / a.group()), a.k.row, key, a.keys);
    copy_rows<D, B::STEP>(stage + B::STEP * D, a.v.of(b, h / a.group()), a.v.row, key, a.keys);
    commit_copies();
  };

  float logarithm[B::SLABS][2], d[B::SLABS][2], factor[B::SLABS][2];
  const int64_t at = (int64_t)blockIdx.x * padded(a.queries) + first + first_row + lane / 4;
#pragma unroll
  for (int i = 0; i < B::SLABS; ++i)
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      logarithm[i][lower] = logarithms[at + 16 * i + 8 * lower];
      d[i][lower] = sums[at + 16 * i + 8 * lower];
      factor[i][lower] = a.scale;
    }

  float dq[B::SLABS][D / 8][4];
  set_to_zero(dq);
  copy_rows<D, B::ROWS>(memory + B::FIRST, a.q.of(b, h), a.q.row, first, a.queries);
  copy_rows<D, B::ROWS>(memory + B::SECOND, d_o.of(b, h), d_o.row, first, a.queries);
  copy_keys(0);
#pragma unroll 1
  for (int key = 0; key < seen; key += B::STEP) {
    Kept<Drop, false, B::SLABS, B::STEP / 8> kept;
    kept.read(of_head, first + first_row, key);
    wait_for_copies<0>();
    __syncthreads();
    if (key + B::STEP < seen) copy_keys(key + B::STEP);
    const bfloat16 *k = memory + B::STEPS + key / B::STEP % 2 * B::STAGE, *v = k + B::STEP * D;
    float p[B::SLABS][B::STEP / 8][4], ds[B::SLABS][B::STEP / 8][4];
    set_to_zero(p);
    multiply_rows<D, B::SLABS, B::STEP>(p, memory + B::FIRST, first_row, k);
    weights(p, a.scale * LOG2_E, [&](int i, int, int r) { return logarithm[i][r / 2]; });
    hide<false>(p, visibility, first + first_row, key, 0.0f);
    const auto d_of = [&](int i, int, int r) { return d[i][r / 2]; };
    begin_score_gradients<Drop>(ds, d_of);
    multiply_rows<D, B::SLABS, B::STEP>(ds, memory + B::SECOND, first_row, v);
    score_gradients(ds, p, dropout, kept, d_of);
    multiply_weights<D, B::SLABS, B::STEP>(dq, ds, k);
  }
  wait_for_copies<0>();
  note_if_any(!all_finite(dq), unsure + (int64_t)blockIdx.x * gridDim.y + first / B::ROWS,
              reinterpret_cast<int*>(memory + B::STEPS));
  const Heads<bfloat16> heads = heads_last(dq_out, a.heads, a.queries, D);
  write_rows<D, B::SLABS>(dq, factor, memory + B::FIRST, first_row, heads.of(b, h), heads.row, first, a.queries);
}

constexpr int LANES_A_ROW = 8;

// D = sum_j dO_j O_j, one row to 8 lanes, 16 bytes at a time; 0 for the rows of padding.
// n: batch heads padded(queries).
extern "C" __global__ __launch_bounds__(THREADS) void attention_backward_sums(HEADS(bfloat16, d_o), const bfloat16* o,
                                                                              float* sums, int heads, int queries,
                                                                              int d, int64_t n) {
  const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / LANES_A_ROW;
  const int row = i % padded(queries), h = i / padded(queries) % heads, b = i / padded(queries) / heads;
  const int lane = threadIdx.x % LANES_A_ROW;
  float sum = 0;
  if (i < n && row < queries) {
    const Heads<const bfloat16> of_o = heads_last(o, heads, queries, d), of_d_o = HEADS_GIVEN(d_o);
    for (int j = lane * 8; j < d; j += LANES_A_ROW * 8) {
      const Pack<bfloat16> x = load_pack(of_d_o.of(b, h) + row * of_d_o.row + j);
      const Pack<bfloat16> y = load_pack(of_o.of(b, h) + row * of_o.row + j);
#pragma unroll
      for (int k = 0; k < 8; ++k) sum += to_float(x.values[k]) * to_float(y.values[k]);
    }
  }
#pragma unroll
  for (int mask = LANES_A_ROW / 2; mask; mask /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, mask);
  if (i < n && lane == 0) sums[i] = sum;
}

// As forward's; d_o like o, strided; dk, dv: (batch, keys, kv_heads, D); dq: (batch, queries, heads, D).
// unsure: (batch, heads, padded(queries) / ROWS).
// Grids of (batch kv_heads, keys / ROWS) and (batch heads, padded(queries) / ROWS) blocks.
#define ATTENTION_BACKWARD_OF(D, NAME, PARAMETERS, DROPOUT)                                                           \
  extern "C" __global__ __launch_bounds__(THREADS, Backward<D>::BLOCKS_ON_SM) void attention_backward_keys_##NAME(    \
      PARAMETERS, HEADS(bfloat16, d_o), const float* logarithms, const float* sums, bfloat16* dk, bfloat16* dv) {     \
    gradients_of_keys<D>(ATTENTION_GIVEN, DROPOUT, HEADS_GIVEN(d_o), logarithms, sums, dk, dv);                       \
  }                                                                                                                   \
  extern "C" __global__ __launch_bounds__(THREADS, Backward<D>::BLOCKS_ON_SM) void attention_backward_queries_##NAME( \
      PARAMETERS, HEADS(bfloat16, d_o), const float* logarithms, const float* sums, bfloat16* dq, uint8_t* unsure) {  \
    gradient_of_queries<D>(ATTENTION_GIVEN, DROPOUT, HEADS_GIVEN(d_o), logarithms, sums, dq, unsure);                 \
  }
#define ATTENTION_BACKWARD(D)                                              \
  ATTENTION_BACKWARD_OF(D, D, ATTENTION_PARAMETERS(bfloat16), NoDropout{}) \
  ATTENTION_BACKWARD_OF(D, D##_dropout, DROPOUT_PARAMETERS(bfloat16), DROPOUT_GIVEN)
ATTENTION_BACKWARD(32)
ATTENTION_BACKWARD(64)
ATTENTION_BACKWARD(96)
ATTENTION_BACKWARD(128)
