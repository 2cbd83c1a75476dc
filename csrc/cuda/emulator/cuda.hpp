// CUDA's words for a C++ compiler: a kernel's source, unchanged, becomes a program for the processor.
//
// common.cuh includes this file where the compiler isn't nvcc or NVRTC. The threads of a block are fibers
// (fibers.hpp): each runs until it must wait for the others, at a barrier or in an exchange within its warp. So the
// logic of a kernel can be checked without a GPU, and every address it touches by AddressSanitizer. Nothing is said
// about speed, and nothing about what only the hardware can get wrong.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "fibers.hpp"

#ifndef MINILLM_KEEP_GLOBAL  // kept where only the preprocessor runs, to find the kernels' names
#define __global__
#endif
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after another
#define __align__(n) alignas(n)

#define threadIdx (emulator::this_thread().index)
#define blockIdx (emulator::this_block().index)
#define blockDim (emulator::this_block().size)
#define gridDim (emulator::this_block().grid)

struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

static inline void __syncthreads() { emulator::wait_for_block(); }
static inline void __syncwarp(unsigned = ~0u) { emulator::wait_for_warp(); }
static inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned, T value, int lane) { return emulator::exchange(value, lane & 31); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) { return emulator::exchange(value, emulator::lane() ^ mask); }
template <class T>
T __shfl_down_sync(unsigned, T value, int by) {
  const int lane = emulator::lane();
  return emulator::exchange(value, lane + by < 32 ? lane + by : lane);
}
template <class T>
T __shfl_up_sync(unsigned, T value, int by) {
  const int lane = emulator::lane();
  return emulator::exchange(value, lane - by >= 0 ? lane - by : lane);
}
static inline unsigned __ballot_sync(unsigned, bool predicate) {
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane) votes |= (unsigned)emulator::exchange((int)predicate, lane) << lane;
  return votes;
}
static inline bool __any_sync(unsigned mask, bool predicate) { return __ballot_sync(mask, predicate) != 0; }

// One fiber runs at a time, so a plain addition is an atomic one.
template <class T>
T atomicAdd(T* address, T value) {
  const T before = *address;
  *address = before + value;
  return before;
}

template <class T>
T __ldg(const T* address) { return *address; }
#define __expf(x) std::exp((float)(x))  // the C library has functions of these names
#define __logf(x) std::log((float)(x))
static inline float __fdividef(float x, float y) { return x / y; }
static inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
static inline unsigned __float_as_uint(float x) { unsigned bits; std::memcpy(&bits, &x, 4); return bits; }
static inline float __uint_as_float(unsigned bits) { float x; std::memcpy(&x, &bits, 4); return x; }
static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
static inline uint64_t __umul64hi(uint64_t a, uint64_t b) { return (uint64_t)((unsigned __int128)a * b >> 64); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
using std::max;
using std::min;
