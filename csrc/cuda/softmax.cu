// Softmax over rows, and its logarithm  [4.2.1]. A row is read once as far as registers hold it; its largest element
// and the sum of exponentials come from the same read (Milakov & Gimelshein 2018, algorithm 3).
#include "rows.cuh"

constexpr int MOST_THREADS = 256;
constexpr int HELD = 32;  // elements that a thread keeps, of the one array in forward, of both together in backward
constexpr float TINY = 1.175494351e-38f;  // the smallest normal number: no sum below it has its logarithm taken

// How many packs of M elements a thread keeps. Where elements are read one by one (N = 1), a quarter: each has an
// address and a test of its own.
template <int N, int M>
constexpr int PACKS = (N > 1 ? HELD : HELD / 4) / M;

// p_i = exp(x_i - m) / sum_j exp(x_j - m), m = max x; its logarithm: x_i - m - log(sum_j exp(x_j - m)).
// A row of -infinity alone has the sum 0, whose logarithm must be finite: -infinity - -infinity would be NaN.
// x, y: (rows, n). N: elements read at once.
template <int N, bool LOG, class T>
__device__ __forceinline__ void forward_rows(const T* x, T* y, int64_t rows, int columns) {
  const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, at = row * columns;
  const int n = row < rows ? columns : 0;  // no early end: barriers are for all teams of the block
  const auto load = [&](int j, float (&values)[N]) { load_floats(x + at + j, values); };
  float held[PACKS<N, N>][N];
  hold<N>(n, held, load);
  MaxSum total = nothing_yet();
  for_row<N>(n, held, load, [&](int, int, float (&values)[N]) { include(total, values); });
  total = team_max_sum(total);
  const float scale = total.sum == 0 ? 1.0f : 1 / total.sum;
  const float log_total = LOG ? logf(total.sum < TINY ? TINY : total.sum) : 0.0f;
  for_row<N>(n, held, load, [&](int, int j, float (&values)[N]) {
    float out[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float shifted = values[k] - total.max;
      out[k] = LOG ? shifted - log_total : __expf(shifted) * scale;
    }
    store_floats(y + at + j, out);
  });
}

// dx = p (dp - dot), dot = sum of dp p; for the logarithm l: dx = dl - exp(l) dot, dot = sum of dl.
// y: forward's result.
template <int N, bool LOG, class T>
__device__ __forceinline__ void backward_rows(const T* y, const T* dy, T* dx, int64_t rows, int columns) {
  constexpr int M = 2 * N;  // of a pack: N elements of y, then N of dy
  const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, at = row * columns;
  const int n = row < rows ? columns : 0;
  const auto load = [&](int j, float (&values)[M]) { load_both(y + at + j, dy + at + j, values); };
  float held[PACKS<N, M>][M];
  hold<N>(n, held, load);
  float dot = 0;
  for_row<N>(n, held, load, [&](int, int, float (&values)[M]) {
#pragma unroll
    for (int k = 0; k < N; ++k) dot += LOG ? values[N + k] : values[N + k] * values[k];
  });
  dot = team_sum(dot);
  for_row<N>(n, held, load, [&](int, int j, float (&values)[M]) {
    float out[N];
#pragma unroll
    for (int k = 0; k < N; ++k)
      out[k] = LOG ? values[N + k] - __expf(values[k]) * dot : values[k] * (values[N + k] - dot);
    store_floats(dx + at + j, out);
  });
}

#define SOFTMAX(NAME, LOG, T, SUFFIX)                                                                          \
  extern "C" __global__ __launch_bounds__(MOST_THREADS, 3) void NAME##_forward_##SUFFIX(const T* x, T* y,      \
                                                                                        int64_t rows, int n) { \
    if (in_packs<T>(n, x, y)) return forward_rows<Pack<T>::size, LOG>(x, y, rows, n);                          \
    forward_rows<1, LOG>(x, y, rows, n);                                                                       \
  }                                                                                                            \
  extern "C" __global__ __launch_bounds__(MOST_THREADS, 3) void NAME##_backward_##SUFFIX(                      \
      const T* y, const T* dy, T* dx, int64_t rows, int n) {                                                   \
    if (in_packs<T>(n, y, dy, dx)) return backward_rows<Pack<T>::size, LOG>(y, dy, dx, rows, n);               \
    backward_rows<1, LOG>(y, dy, dx, rows, n);                                                                 \
  }
SOFTMAX(softmax, false, float, float32)
SOFTMAX(softmax, false, bfloat16, bfloat16)
SOFTMAX(log_softmax, true, float, float32)
SOFTMAX(log_softmax, true, bfloat16, bfloat16)
