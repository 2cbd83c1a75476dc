// Dropout of attention's weights (Srivastava et al. 2014): O = (P F) V, element by element F = keep / (1 - p), where
// keep has a byte, 0 or 1, for each weight. P itself, and so the sum of a row, is that without dropout. Kernels are
// templates on one of the two structs below: without dropout, nothing of it is left in them.
#pragma once

#include "attention.cuh"

struct NoDropout {
  static constexpr bool DROPS = false;
  static constexpr float scale = 1;

  __device__ __forceinline__ NoDropout of(int64_t) const { return {}; }
  __device__ __forceinline__ float factor(int, int) const { return 1; }
};

struct Dropout {
  static constexpr bool DROPS = true;
  const uint8_t* keep;  // (batch, heads, queries, keys), or of one of the heads
  float scale;          // 1 / (1 - p)
  int queries, keys;

  __device__ __forceinline__ Dropout of(int64_t head) const {
    return {keep + head * queries * keys, scale, queries, keys};
  }

  // F of a weight; 0 where there is none.
  __device__ __forceinline__ float factor(int query, int key) const {
    return query < queries && key < keys && keep[(int64_t)query * keys + key] ? scale : 0.0f;
  }

  // Bit k: whether the weight of key + k stays, for the next N keys; 0 where there is none.
  template <int N>
  __device__ __forceinline__ uint32_t bits(int query, int key) const {
    static_assert(N == 16 || N == 32);
    if (query >= queries) return 0;
    const uint8_t* bytes = keep + (int64_t)query * keys + key;
    uint32_t found = 0;
    if (key + N <= keys && is_aligned(bytes)) {
#pragma unroll
      for (int i = 0; i < N; i += 16) {
        const Pack<uint32_t> pack = load_pack(reinterpret_cast<const uint32_t*>(bytes + i));
#pragma unroll
        for (int j = 0; j < 4; ++j)  // bits 0, 8, 16, 24 become 28, 29, 30, 31
          found |= pack.values[j] * 0x10204080u >> 28 << (i + 4 * j);
      }
      return found;
    }
#pragma unroll 4  // few registers: the bytes come a few at a time
    for (int k = 0; k < N; ++k)
      if (key + k < keys) found |= (uint32_t)bytes[k] << k;
    return found;
  }
};

// Which weights of a warp's tile stay, spread over the lanes as the weights are (mma.cuh), one bit each. Rows are
// queries and columns keys, or, where KEYS_FIRST, the other way round. A lane reads the bytes of one query, which lie
// next to each other, and gets the bits that it needs from the others: 2 at a time, or all the lanes' numbers would
// stay in registers that the products need.
template <class D, bool KEYS_FIRST, int SLABS, int COLUMNS>
struct Kept {
  __device__ __forceinline__ void read(const D&, int, int) {}  // query, key: of the first row and column
  __device__ __forceinline__ bool stays(int, int, int) const { return true; }
};

template <int SLABS, int COLUMNS>
struct Kept<Dropout, false, SLABS, COLUMNS> {
  static_assert(SLABS <= 2 && COLUMNS % 4 == 0);
  uint32_t words[COLUMNS / 4];  // of 32 keys: of every 8, a pair for each of the lane's queries

  __device__ __forceinline__ void read(const Dropout& of_head, int query, int key) {
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int w = 0; w < COLUMNS / 4; ++w) {
      const uint32_t mine = of_head.bits<32>(query + lane % (16 * SLABS), key + 32 * w);
      words[w] = 0;
#pragma unroll 2
      for (int n = 0; n < 2 * SLABS; ++n)
        words[w] |= (__shfl_sync(ALL_LANES, mine, lane / 4 + 8 * n) >> lane % 4 * 2 & 0x03030303u) << 2 * n;
    }
  }
  __device__ __forceinline__ bool stays(int i, int j, int r) const {
    return words[j / 4] >> (8 * (j % 4) + 2 * (2 * i + r / 2) + r % 2) & 1;
  }
};

template <int SLABS>
struct Kept<Dropout, true, SLABS, 4> {
  static_assert(SLABS <= 2);
  uint32_t word;  // for each of the lane's keys, 8 apart, a bit for each of its queries

  __device__ __forceinline__ void read(const Dropout& of_head, int query, int key) {
    const int lane = threadIdx.x % WARP;
    const uint32_t mine = of_head.bits<16 * SLABS>(query + lane, key);
    word = 0;
#pragma unroll 2
    for (int n = 0; n < 8; ++n)
      word |= (__shfl_sync(ALL_LANES, mine, n / 2 * 8 + lane % 4 * 2 + n % 2) >> lane / 4 & 0x01010101u) << n;
  }
  __device__ __forceinline__ bool stays(int i, int j, int r) const {
    return word >> (8 * (2 * i + r / 2) + 2 * j + r % 2) & 1;
  }
};

#define DROPOUT_PARAMETERS(T) ATTENTION_PARAMETERS(T), const uint8_t* keep, float keep_scale
#define DROPOUT_GIVEN Dropout{keep, keep_scale, queries, keys}
