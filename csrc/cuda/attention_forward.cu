// Attention in bfloat16 on tensor cores, forward: O = softmax(Q K^T scale) V  [4.2.1] [4.2.2], in tiles, without ever
// holding the scores (Dao et al. 2022, algorithm 1; Dao 2023, algorithm 1). With z = q k scale log2 e (attention.cuh),
// a row has m, l and o of the keys so far, and each tile makes of them
//
//   m' = max(m, max z),  l' = 2^(m - m') l + sum 2^(z - m'),  o' = 2^(m - m') o + sum 2^(z - m') v;
//
// after the last tile, O = o / l and L = m + log2 l.
//
// A block has 128 queries of one head, a warp 32 of them: fragments of keys and values, once read from shared memory,
// serve two products each, or shared memory couldn't keep up with the tensor cores. The weights of a tile go from the
// registers of the first product straight into the second. Meanwhile the next tile of keys and values is copied.
//
//     d    keys a tile   shared memory   blocks on an SM by it, compute capability 8.0 and 9.0   by registers
//     32       64             24 KB            6      9                                               3
//     64       64             48 KB            3      4                                               2
//     96       32             48 KB            3      4                                               2
//    128       32             64 KB            2      3                                               2
//
// (SM: a multiprocessor.) A key that a query may not see should change nothing for it, even if its values are NaN. Its
// score becomes -infinity, its weight 0; but in the second product 0 times NaN is NaN. And z - m, one multiply-add,
// isn't rounded where m was: beyond 2^30 the largest 2^(z - m), which should be 1, may be 0 or infinity. A tile in
// which either shows, a result that isn't finite or a sum of 0, is noted as unsure. attention_plain_forward.cu, which
// has neither weakness, computes those again; its other blocks look at one byte and end.
#include "attention_dropout.cuh"
#include "attention_tile.cuh"

template <int D>
struct Forward {
  static constexpr int SLABS = 2;  // of 16 queries, the rows of a fragment, for each warp
  static constexpr int QUERIES = 16 * SLABS * WARPS;
  static constexpr int KEYS = D <= 64 ? 64 : 32;
  static constexpr int BLOCKS_ON_SM = D == 32 ? 3 : 2;
  static_assert(QUERIES == PADDED);

  // Shared memory, in elements: queries at 0; a stage's keys at K, its values at V; the other stage STAGE further on.
  static constexpr int K = QUERIES * D, V = K + KEYS * D, STAGE = 2 * KEYS * D;

  float o[SLABS][D / 8][4];               // O so far, not yet divided
  // m, and this lane's part of l, of the rows g and g + 8 of each slab, g = lane / 4 (mma.cuh).
  float top[SLABS][2], total[SLABS][2];

  __device__ __forceinline__ void begin() {
    set_to_zero(o);
#pragma unroll
    for (int i = 0; i < SLABS; ++i) top[i][0] = top[i][1] = -INFINITY, total[i][0] = total[i][1] = 0;
  }

  // Scores of one tile become 2^(z - m), for m of all keys so far; what was summed so far fades to fit. Those that
  // dropout drops become 0 once they are summed.
  template <class Stays>
  __device__ __forceinline__ void exponentials(float (&s)[SLABS][KEYS / 8][4], float to_z, const Stays& kept) {
#pragma unroll
    for (int i = 0; i < SLABS; ++i)
#pragma unroll
      for (int lower = 0; lower < 2; ++lower) {
        float largest = -INFINITY;
#pragma unroll
        for (int j = 0; j < KEYS / 8; ++j) largest = fmaxf(largest, fmaxf(s[i][j][2 * lower], s[i][j][2 * lower + 1]));
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 1));  // the four lanes of a row
        largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, 2));
        const float before = top[i][lower], m = fmaxf(before, largest * to_z);
        const float shift = m == -INFINITY ? 0 : m;  // -infinity - -infinity would be NaN
        const float fade = exp2_approximate(before - shift);  // 2^(m - m')
        float sum = 0;
#pragma unroll
        for (int j = 0; j < KEYS / 8; ++j)
#pragma unroll
          for (int r = 2 * lower; r < 2 * lower + 2; ++r) {
            s[i][j][r] = exp2_approximate(fmaf(s[i][j][r], to_z, -shift));
            sum += s[i][j][r];
            if (!kept.stays(i, j, r)) s[i][j][r] = 0;
          }
        top[i][lower] = m;
        total[i][lower] = total[i][lower] * fade + sum;
#pragma unroll
        for (int j = 0; j < D / 8; ++j) o[i][j][2 * lower] *= fade, o[i][j][2 * lower + 1] *= fade;
      }
  }
};

template <int D, class Drop>
__device__ __forceinline__ void attention_forward(const Attention<bfloat16>& a, const Drop& dropout, bfloat16* out,
                                                  float* logarithms, uint8_t* unsure) {
  using F = Forward<D>;
  DYNAMIC_SHARED(bfloat16, memory);
  const int b = blockIdx.x / a.heads, h = blockIdx.x % a.heads, lane = threadIdx.x % WARP;
  const int first = (gridDim.y - 1 - blockIdx.y) * F::QUERIES;  // causal, the last queries take longest: they go first
  const int first_row = threadIdx.x / WARP * 16 * F::SLABS;          // this warp's first row of the tile
  const Visibility visibility = a.visibility(b, h);
  const Drop of_head = dropout.of(blockIdx.x);
  const int seen = visibility.keys_seen(first + F::QUERIES);
  const auto copy_keys = [&](int key) {
    bfloat16* stage = memory + key / F::KEYS % 2 * F::STAGE;
    copy_rows<D, F::KEYS>(stage + F::K, a.k.of(b, h / a.group()), a.k.row, key, a.keys);
    copy_rows<D, F::KEYS>(stage + F::V, a.v.of(b, h / a.group()), a.v.row, key, a.keys);
    commit_copies();
  };

  F f;
  f.begin();
  copy_rows<D, F::QUERIES>(memory, a.q.of(b, h), a.q.row, first, a.queries);
  copy_keys(0);
#pragma unroll 1
  for (int key = 0; key < seen; key += F::KEYS) {
    Kept<Drop, false, F::SLABS, F::KEYS / 8> kept;
    kept.read(of_head, first + first_row, key);
    wait_for_copies<0>();
    __syncthreads();  // this tile has come, and everyone is done with the other, whose place the next one takes
    if (key + F::KEYS < seen) copy_keys(key + F::KEYS);
    const bfloat16* stage = memory + key / F::KEYS % 2 * F::STAGE;
    float s[F::SLABS][F::KEYS / 8][4];
    set_to_zero(s);
    multiply_rows<D, F::SLABS, F::KEYS>(s, memory, first_row, stage + F::K);
    hide<false>(s, visibility, first + first_row, key, -INFINITY);
    f.exponentials(s, a.scale * LOG2_E, kept);
    multiply_weights<D, F::SLABS, F::KEYS>(f.o, s, stage + F::V);
  }
  wait_for_copies<0>();

  float factor[F::SLABS][2];
  bool unsure_row = false;
#pragma unroll
  for (int i = 0; i < F::SLABS; ++i)
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      float total = f.total[i][lower];
      total += __shfl_xor_sync(ALL_LANES, total, 1);
      total += __shfl_xor_sync(ALL_LANES, total, 2);
      factor[i][lower] = total == 0 ? 0 : of_head.scale / total;
      unsure_row = unsure_row || (total == 0 && f.top[i][lower] != -INFINITY);
      const int row = first + first_row + 16 * i + 8 * lower + lane / 4;
      const bool sees_any = row < a.queries && total != 0;
      if (lane % 4 == 0)
        logarithms[(int64_t)blockIdx.x * padded(a.queries) + row] =
            sees_any ? f.top[i][lower] + log2f(total) : INFINITY;  // weights 2^(z - L) of 0
    }
  note_if_any(unsure_row || !all_finite(f.o), unsure + (int64_t)blockIdx.x * gridDim.y + first / F::QUERIES,
              reinterpret_cast<int*>(memory + F::K));
  const Heads<bfloat16> o = heads_last(out, a.heads, a.queries, D);
  write_rows<D, F::SLABS>(f.o, factor, memory, first_row, o.of(b, h), o.row, first, a.queries);
}

// q, k, v: (batch, heads, time, D), 16 bytes at a time; o: (batch, queries, heads, D);
// logarithms: (batch, heads, padded(queries)); unsure: (batch, heads, padded(queries) / PADDED). Scale > 0.
// A grid of (batch heads, padded(queries) / PADDED) blocks.
#define ATTENTION_FORWARD_OF(D, NAME, PARAMETERS, DROPOUT)                                                  \
  extern "C" __global__ __launch_bounds__(THREADS, Forward<D>::BLOCKS_ON_SM) void attention_forward_##NAME( \
      PARAMETERS, bfloat16* o, float* logarithms, uint8_t* unsure) {                                        \
    attention_forward<D>(ATTENTION_GIVEN, DROPOUT, o, logarithms, unsure);                                  \
  }
#define ATTENTION_FORWARD(D)                                              \
  ATTENTION_FORWARD_OF(D, D, ATTENTION_PARAMETERS(bfloat16), NoDropout{}) \
  ATTENTION_FORWARD_OF(D, D##_dropout, DROPOUT_PARAMETERS(bfloat16), DROPOUT_GIVEN)
ATTENTION_FORWARD(32)
ATTENTION_FORWARD(64)
ATTENTION_FORWARD(96)
ATTENTION_FORWARD(128)
