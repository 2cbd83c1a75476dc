// float32 to bfloat16, rounded to the nearest with ties to the even one, and back, which is exact
// (Kalamkar et al. 2019, section 3).
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int GROUP = 4;   // elements read and written at once: 16 bytes of float32, 8 of bfloat16
constexpr int GROUPS = 4;  // a thread's, all read before the first is written, so that enough bytes are on their way

template <class T>
struct alignas(GROUP * sizeof(T)) Group {
  T values[GROUP];
};

template <class From, class To>
__device__ __forceinline__ Group<To> converted(const Group<From>& x) {
  Group<To> y;
#pragma unroll
  for (int i = 0; i < GROUP; ++i) y.values[i] = from_float<To>(to_float(x.values[i]));
  return y;
}

// x, y: (n). Threads side by side take groups side by side, so that either type's memory is touched in whole lines.
template <class From, class To>
__device__ void cast(const From* x, To* y, int64_t n) {
  const int64_t begin = (int64_t)blockIdx.x * (THREADS * GROUP * GROUPS);
  const int64_t end = min(begin + THREADS * GROUP * GROUPS, n);
  if (end - begin == THREADS * GROUP * GROUPS && is_aligned(x) && is_aligned(y)) {
    const auto* from = reinterpret_cast<const Group<From>*>(x + begin) + threadIdx.x;
    auto* to = reinterpret_cast<Group<To>*>(y + begin) + threadIdx.x;
    Group<From> groups[GROUPS];
#pragma unroll
    for (int i = 0; i < GROUPS; ++i) groups[i] = from[i * THREADS];
#pragma unroll
    for (int i = 0; i < GROUPS; ++i) to[i * THREADS] = converted<From, To>(groups[i]);
    return;
  }
  for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) y[i] = from_float<To>(to_float(x[i]));
}

extern "C" __global__ __launch_bounds__(THREADS) void cast_float32_bfloat16(const float* x, bfloat16* y, int64_t n) {
  cast(x, y, n);
}

extern "C" __global__ __launch_bounds__(THREADS) void cast_bfloat16_float32(const bfloat16* x, float* y, int64_t n) {
  cast(x, y, n);
}
