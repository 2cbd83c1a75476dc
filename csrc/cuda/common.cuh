// What the kernels share: the type bfloat16, packs of 16 bytes, sums and maxima over a warp or a block.
#pragma once

#ifdef __CUDACC__
#ifdef __CUDACC_RTC__  // compiles without the standard library's headers
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#ifndef INFINITY
#define INFINITY __int_as_float(0x7F800000)
#endif
#else
#include <cmath>
#include <cstdint>
#endif
// Memory shared by a block, of the size that the launch asks for.
#define DYNAMIC_SHARED(T, name)                                          \
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
  T* name = reinterpret_cast<T*>(dynamic_shared_memory)
#else
#include "emulator/cuda.hpp"
#define DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(emulator::dynamic_shared())
#endif

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xFFFFFFFFu;

// The upper half of a float: 8 bits of exponent, 7 of fraction (Kalamkar et al. 2019).
struct bfloat16 {
  uint16_t bits;
};

static __device__ __forceinline__ float to_float(float x) { return x; }
static __device__ __forceinline__ float to_float(bfloat16 x) { return __uint_as_float((uint32_t)x.bits << 16); }

template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bfloat16 from_float<bfloat16>(float x) {
#ifdef __CUDACC__
  bfloat16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(x));
  return rounded;
#else
  const uint32_t bits = __float_as_uint(x);
  if (x != x) return {(uint16_t)0x7FFF};
  return {(uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};  // to the nearest, ties to the even one
#endif
}

// Two floats rounded to bfloat16 in one register, the first in the lower half.
static __device__ __forceinline__ uint32_t pack_bfloat16(float low, float high) {
#ifdef __CUDACC__
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return from_float<bfloat16>(low).bits | (uint32_t)from_float<bfloat16>(high).bits << 16;
#endif
}

// 16 bytes, read and written by one instruction: 4 floats or 8 bfloat16.
template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T values[size];
};

// Whether packs may be read and written there.
static __device__ __forceinline__ bool is_aligned(const void* address) { return (uint64_t)address % 16 == 0; }

template <class T>
__device__ __forceinline__ Pack<T> load_pack(const T* address) {
  return *reinterpret_cast<const Pack<T>*>(address);
}
template <class T>
__device__ __forceinline__ void store_pack(T* address, const Pack<T>& pack) {
  *reinterpret_cast<Pack<T>*>(address) = pack;
}

static __device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int mask = WARP / 2; mask; mask /= 2) x += __shfl_xor_sync(ALL_LANES, x, mask);
  return x;
}

static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int mask = WARP / 2; mask; mask /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, mask));
  return x;
}

// The sum over a block of a whole number of warps, in every thread. Sums have one order: the same bits every time.
static __device__ __forceinline__ float block_sum(float x) {
  __shared__ float of_warps[WARP];
  x = warp_sum(x);
  __syncthreads();  // whoever still reads the last call's sums
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = x;
  __syncthreads();
  const int warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
  return warp_sum(lane < warps ? of_warps[lane] : 0.0f);
}

static __device__ __forceinline__ float block_max(float x) {
  __shared__ float of_warps[WARP];
  x = warp_max(x);
  __syncthreads();
  if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = x;
  __syncthreads();
  const int warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
  return warp_max(lane < warps ? of_warps[lane] : -INFINITY);
}
