// Cross-entropy over a vocabulary  [4.1.2-ce]: the rows of logits become their own gradient.
//
// A block has a row and reads it twice: once for its largest logit and the sum of exponentials (Milakov & Gimelshein
// 2018, algorithm 3), once to write the gradient over it. Probabilities are never stored. The factor of the gradient, 1
// over the number of targets that count, comes from device memory, so that the CPU need not wait for it.
#include "rows.cuh"

constexpr int ROW_THREADS = 512;   // at most
constexpr int SUM_THREADS = 1024;  // a constant step lets the compiler read ahead
constexpr int AT_ONCE = 4;  // packs that a thread reads before it uses the first, so that enough bytes are on their way

// use(address, values) for this thread's elements of a row. Packs begin where memory allows it: rows of an odd length
// have packs, too, and a few elements before and after them.
template <class T, class Use>
__device__ __forceinline__ void for_logits(T* row, int n, Use use) {
  constexpr int N = Pack<T>::size;
  const int past = (uint64_t)row % 16 / sizeof(T), before = min(past ? N - past : 0, n);
  const int packs = (n - before) / N, step = blockDim.x;
  if (threadIdx.x < n - packs * N) {
    float value[1];
    T* address = row + threadIdx.x + (threadIdx.x < before ? 0 : packs * N);
    load_floats(address, value);
    use(address, value);
  }
  int i = threadIdx.x;
  for (; i + (AT_ONCE - 1) * step < packs; i += AT_ONCE * step) {
    float values[AT_ONCE][N];
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) load_floats(row + before + (i + u * step) * N, values[u]);
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) use(row + before + (i + u * step) * N, values[u]);
  }
  for (; i < packs; i += step) {
    float values[N];
    load_floats(row + before + i * N, values);
    use(row + before + i * N, values);
  }
}

// logits: (rows, classes), overwritten by (p - y) scale if `gradient`. A target outside the vocabulary is not followed:
// its loss and its gradient are NaN.
template <class T>
__device__ __forceinline__ void one_row(T* logits, const int64_t* targets, float* losses, const float* scale,
                                        int64_t ignored, int classes, bool gradient) {
  const int64_t target = targets[blockIdx.x];
  T* row = logits + (int64_t)blockIdx.x * classes;
  if (target == ignored || target < 0 || target >= classes) {
    const float value = target == ignored ? 0.0f : __uint_as_float(0x7FC00000);  // NaN
    if (threadIdx.x == 0) losses[blockIdx.x] = value;
    if (!gradient) return;
    for_logits(row, classes, [&](T* address, auto& values) {
      for (float& x : values) x = value;
      store_floats(address, values);
    });
    return;
  }
  const float of_target = to_float(row[target]);  // everyone reads it before the barriers below, and so before a write
  MaxSum total = nothing_yet();
  for_logits(row, classes, [&](T*, auto& values) { include(total, values); });
  total = team_max_sum(total);
  if (threadIdx.x == 0) losses[blockIdx.x] = logf(total.sum) - (of_target - total.max);
  if (!gradient) return;
  const float factor = *scale / total.sum;
  for_logits(row, classes, [&](T* address, auto& values) {
    for (float& x : values) x = __expf(x - total.max) * factor;
    store_floats(address, values);
  });
  __syncthreads();
  if (threadIdx.x == 0) row[target] = from_float<T>(__expf(of_target - total.max) * factor - *scale);
}

#define LOSS(T, NAME)                                                                                     \
  extern "C" __global__ __launch_bounds__(ROW_THREADS, 2) void cross_entropy_rows_##NAME(                 \
      T* logits, const int64_t* targets, float* losses, const float* scale, int64_t ignored, int classes, \
      int gradient) {                                                                                     \
    one_row(logits, targets, losses, scale, ignored, classes, gradient);                                  \
  }
LOSS(float, float32)
LOSS(bfloat16, bfloat16)

// x: (n), multiplied by the one float `factor`.
template <class T>
__device__ __forceinline__ void scale(T* x, const float* factor, int64_t n) {
  const float by = *factor;
  if (by == 1) return;  // as for a loss that is the end of the graph
  const auto load = [&](int64_t i, auto& values) { load_floats(x + i, values); };
  for_elements<1, T>(n, is_aligned(x), load, [&](int64_t i, auto& values) {
    for (float& v : values) v *= by;
    store_floats(x + i, values);
  });
}

extern "C" __global__ __launch_bounds__(ARRAY_THREADS) void scale_gradient_float32(float* x, const float* factor,
                                                                                  int64_t n) {
  scale(x, factor, n);
}

extern "C" __global__ __launch_bounds__(ARRAY_THREADS) void scale_gradient_bfloat16(bfloat16* x, const float* factor,
                                                                                   int64_t n) {
  scale(x, factor, n);
}

// scale: one float, 1 over the number of targets that aren't ignored, or 1 if all are. One block of SUM_THREADS.
extern "C" __global__ __launch_bounds__(SUM_THREADS) void count_targets(const int64_t* targets, float* scale,
                                                                       int64_t n, int64_t ignored) {
  int count = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS) count += targets[i] != ignored;
  const float total = block_sum((float)count);  // exact up to 2^24
  if (threadIdx.x == 0) *scale = 1 / fmaxf(total, 1.0f);
}

// loss: one float, scale times the sum of the losses. One block of SUM_THREADS.
extern "C" __global__ __launch_bounds__(SUM_THREADS) void sum_losses(const float* losses, const float* scale,
                                                                    float* loss, int64_t n) {
  float sum = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS) sum += losses[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *loss = sum * *scale;
}
