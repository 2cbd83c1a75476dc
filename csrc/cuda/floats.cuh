// Elements of either type as floats, in packs where memory allows it, and passes over whole arrays.
#pragma once

#include "common.cuh"

constexpr int ARRAY_THREADS = 256, ARRAY_ELEMENTS = 16;  // of a block over an array, and of each of its threads

// Whether a row of n elements has packs everywhere, and memory allows them. A null pointer is aligned.
template <class T, class... Pointers>
__device__ __forceinline__ bool in_packs(int n, Pointers... pointers) {
  return n % Pack<T>::size == 0 && (is_aligned(pointers) && ...);
}

// N neighbouring elements as floats: by packs where N is a multiple of theirs, else one by one.
template <int N, class T>
__device__ __forceinline__ void load_floats(const T* address, float (&values)[N]) {
  constexpr int SIZE = Pack<T>::size;
  if constexpr (N % SIZE == 0) {
#pragma unroll
    for (int i = 0; i < N; i += SIZE) {
      const Pack<T> pack = load_pack(address + i);
#pragma unroll
      for (int k = 0; k < SIZE; ++k) values[i + k] = to_float(pack.values[k]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = to_float(address[i]);
  }
}

// The same of two arrays: the first half of the values, and the second.
template <int M, class T>
__device__ __forceinline__ void load_both(const T* first, const T* second, float (&values)[M]) {
  float a[M / 2], b[M / 2];
  load_floats(first, a);
  load_floats(second, b);
#pragma unroll
  for (int k = 0; k < M / 2; ++k) values[k] = a[k], values[M / 2 + k] = b[k];
}

template <int N>
__device__ __forceinline__ void store_floats(float* address, const float (&values)[N]) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4)
      *reinterpret_cast<float4*>(address + i) = make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) address[i] = values[i];
  }
}

template <int N>
__device__ __forceinline__ void store_floats(bfloat16* address, const float (&values)[N]) {
  if constexpr (N % 8 == 0) {
    uint32_t pairs[N / 2];  // two are rounded by one instruction
#pragma unroll
    for (int i = 0; i < N / 2; ++i) pairs[i] = pack_bfloat16(values[2 * i], values[2 * i + 1]);
#pragma unroll
    for (int i = 0; i < N / 2; i += 4)
      *reinterpret_cast<uint4*>(address + 2 * i) = make_uint4(pairs[i], pairs[i + 1], pairs[i + 2], pairs[i + 3]);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) address[i] = from_float<bfloat16>(values[i]);
  }
}

// load(i, values) and use(i, values) for this thread's elements of an array of n: by packs, which are all read before
// the first is used, or one by one. ARRAYS: how many are read.
template <int ARRAYS, class T, class Load, class Use>
__device__ __forceinline__ void for_elements(int64_t n, bool aligned, Load load, Use use) {
  constexpr int N = Pack<T>::size, PACKS = ARRAY_ELEMENTS / N, BLOCK = ARRAY_THREADS * ARRAY_ELEMENTS;
  const int64_t begin = (int64_t)blockIdx.x * BLOCK, end = min(begin + BLOCK, n);
  if (aligned && end - begin == BLOCK) {
    float values[PACKS][ARRAYS * N];
#pragma unroll
    for (int u = 0; u < PACKS; ++u) load(begin + (u * ARRAY_THREADS + threadIdx.x) * N, values[u]);
#pragma unroll
    for (int u = 0; u < PACKS; ++u) use(begin + (u * ARRAY_THREADS + threadIdx.x) * N, values[u]);
    return;
  }
  for (int64_t i = begin + threadIdx.x; i < end; i += ARRAY_THREADS) {
    float values[ARRAYS];
    load(i, values);
    use(i, values);
  }
}
