// Dropout (Srivastava et al. 2014): y = x keep / (1 - p). Nothing is stored for backward, which draws the mask again.
//
// The mask is that of the other backends: element i stays if word i of the Philox4x64-10 stream (Salmon et al. 2011,
// figure 1 and table 2) is at least p 2^32.
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int WORDS = 8;  // 32-bit words of a Philox block: the elements of a thread

struct Key {
  uint64_t seed, counter, threshold;
};

// Bit i says whether element 8 block + i stays. Ten rounds of two products and a bijection each.
__device__ __forceinline__ uint32_t kept(int64_t block, const Key& key) {
  constexpr uint64_t M0 = 0xD2E7470EE14C6C93, M1 = 0xCA5A826395121157;  // multipliers
  constexpr uint64_t W0 = 0x9E3779B97F4A7C15, W1 = 0xBB67AE8584CAA73B;  // what the key grows by
  uint64_t a = (uint64_t)block + 1, b = 0, c = key.counter, d = 0, k0 = key.seed, k1 = 0;
#pragma unroll
  for (int round = 0; round < 10; ++round, k0 += W0, k1 += W1) {
    const uint64_t low_a = M0 * a, low_c = M1 * c;
    const uint64_t high_a = __umul64hi(M0, a), high_c = __umul64hi(M1, c);
    a = high_c ^ b ^ k0;
    c = high_a ^ d ^ k1;
    b = low_c;
    d = low_a;
  }
  const uint64_t numbers[4] = {a, b, c, d};
  uint32_t bits = 0;
#pragma unroll
  for (int i = 0; i < WORDS; ++i) {
    const uint32_t word = (uint32_t)(numbers[i / 2] >> (32 * (i % 2)));
    bits |= (uint32_t)(word >= key.threshold) << i;
  }
  return bits;
}

// x, y: (n). A thread draws one Philox block, which costs more than its memory accesses, and applies it.
template <class T>
__device__ void dropout(const T* x, T* y, int64_t n, const Key& key, float scale) {
  const int64_t block = (int64_t)blockIdx.x * THREADS + threadIdx.x, first = block * WORDS;
  if (first >= n) return;
  constexpr int PACKS = WORDS / Pack<T>::size;
  const bool whole = first + WORDS <= n && is_aligned(x) && is_aligned(y);
  Pack<T> packs[PACKS];
  if (whole) {
#pragma unroll
    for (int i = 0; i < PACKS; ++i) packs[i] = load_pack(x + first + i * Pack<T>::size);
  } else {
#pragma unroll
    for (int i = 0; i < WORDS; ++i)
      if (first + i < n) packs[i / Pack<T>::size].values[i % Pack<T>::size] = x[first + i];
  }
  const uint32_t bits = kept(block, key);
#pragma unroll
  for (int i = 0; i < WORDS; ++i) {
    T& value = packs[i / Pack<T>::size].values[i % Pack<T>::size];
    value = from_float<T>(to_float(value) * (bits >> i & 1 ? scale : 0.0f));  // a product, so that NaN stays
  }
  if (whole) {
#pragma unroll
    for (int i = 0; i < PACKS; ++i) store_pack(y + first + i * Pack<T>::size, packs[i]);
  } else {
#pragma unroll
    for (int i = 0; i < WORDS; ++i)
      if (first + i < n) y[first + i] = packs[i / Pack<T>::size].values[i % Pack<T>::size];
  }
}

// The counter of this launch: a recorded one adds how much later it is launched again; null adds nothing.
__device__ __forceinline__ uint64_t counted(uint64_t counter, const int64_t* later) {
  return counter + (later ? (uint64_t)*later : 0);
}

// keep: (n) bools, from an address that 8 divides. threshold: p 2^32, at most 2^32.
extern "C" __global__ __launch_bounds__(THREADS) void keep_mask(uint8_t* keep, int64_t n, uint64_t seed,
                                                                uint64_t counter, const int64_t* later,
                                                                uint64_t threshold) {
  const int64_t block = (int64_t)blockIdx.x * THREADS + threadIdx.x, first = block * WORDS;
  if (first >= n) return;
  const uint32_t bits = kept(block, {seed, counted(counter, later), threshold});
  if (first + WORDS <= n) {
    uint64_t bytes = 0;
#pragma unroll
    for (int i = 0; i < WORDS; ++i) bytes |= (uint64_t)(bits >> i & 1) << (8 * i);
    *reinterpret_cast<uint64_t*>(keep + first) = bytes;
    return;
  }
  for (int i = 0; i < WORDS && first + i < n; ++i) keep[first + i] = bits >> i & 1;
}

#define DROPOUT(T, NAME)                                                                                          \
  extern "C" __global__ __launch_bounds__(THREADS) void dropout_##NAME(const T* x, T* y, int64_t n, uint64_t seed, \
                                                                       uint64_t counter, const int64_t* later,     \
                                                                       uint64_t threshold, float scale) {          \
    dropout(x, y, n, {seed, counted(counter, later), threshold}, scale);                                           \
  }
DROPOUT(float, float32)
DROPOUT(bfloat16, bfloat16)
