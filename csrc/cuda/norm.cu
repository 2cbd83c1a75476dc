// Layer norm (Ba et al. 2016, equations 3 and 4) and RMS norm (Zhang & Sennrich 2019, equation 4).
//
// A team of threads has a row, which stays in registers from its only read until its result is written; of longer rows
// the rest is read again. RMS norm is layer norm with a mean of 0, and has no array for it.
#include "rows.cuh"

constexpr int FORWARD_THREADS = 256, BACKWARD_THREADS = 1024;  // at most
constexpr int HELD = 32;          // elements of a row that a thread keeps in forward
constexpr int HELD_BACKWARD = 8;  // and in backward, which has four numbers for each

template <class T>
struct Forward {
  const T *x, *residual;
  const float *weight, *bias;
  T *y, *total;
  float *mean, *inverse;
  int64_t rows;
  int d;
  float eps;
};

// N: elements read at once.
template <int N, class T>
__device__ __forceinline__ void forward_rows(const Forward<T>& a) {
  const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, at = row * a.d;
  const int n = row < a.rows ? a.d : 0;  // no early end: barriers are for all teams of the block
  const auto load = [&](int j, float (&x)[N]) {
    load_floats(a.x + at + j, x);
    if (!a.residual) return;
    float added[N];
    load_floats(a.residual + at + j, added);
#pragma unroll
    for (int k = 0; k < N; ++k) x[k] += added[k];
  };
  float held[(N > 1 ? HELD : HELD / 4) / N][N];  // one by one each has an address and a test of its own
  hold<N>(n, held, load);

  float sum = 0;
  if (a.mean || a.total) {
    for_row<N>(n, held, load, [&](int, int j, float (&x)[N]) {
      if (a.total) store_floats(a.total + at + j, x);
#pragma unroll
      for (int k = 0; k < N; ++k) sum += x[k];
    });
  }
  const float mean = a.mean ? team_sum(sum) / a.d : 0.0f;
  float squares = 0;
  for_row<N>(n, held, load, [&](int, int, float (&x)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k) squares += (x[k] - mean) * (x[k] - mean);
  });
  const float inverse = 1 / sqrtf(team_sum(squares) / a.d + a.eps);

  for_row<N>(n, held, load, [&](int, int j, float (&x)[N]) {
    float factor[N], y[N];
    if (a.weight) load_floats(a.weight + j, factor);
#pragma unroll
    for (int k = 0; k < N; ++k) y[k] = (x[k] - mean) * inverse * (a.weight ? factor[k] : 1.0f);
    if (a.bias) {
      load_floats(a.bias + j, factor);
#pragma unroll
      for (int k = 0; k < N; ++k) y[k] += factor[k];
    }
    store_floats(a.y + at + j, y);
  });
  if (threadIdx.x == 0 && n) {
    a.inverse[row] = inverse;
    if (a.mean) a.mean[row] = mean;
  }
}

template <class T>
struct Backward {
  const T *x, *dy;
  const float *weight, *mean, *inverse;
  T* dx;
  float* parts;  // (2, blocks, d): each block's dweight, and each block's dbias; null if neither is wanted
  int64_t rows;
  int d;
};

// Adds the other teams' sums to those of the first, in their order.
template <int M, int PACKS>
__device__ __forceinline__ void gather_teams(float (&sums)[PACKS][M]) {
  DYNAMIC_SHARED(float, shared);
  for (int team = 1; team < blockDim.y; ++team) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < PACKS * M; ++i)
      if (threadIdx.y == team) shared[i * blockDim.x + threadIdx.x] = sums[i / M][i % M];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < PACKS * M; ++i)
      if (threadIdx.y == 0) sums[i / M][i % M] += shared[i * blockDim.x + threadIdx.x];
  }
}

// dx = (dx^ - mean(dx^) - x^ mean(dx^ x^)) inverse, dx^ = weight dy; RMS norm without the middle term.
// dweight = sum of dy x^, dbias = sum of dy: a thread has the sums of its columns in registers over all of its rows.
// PACKS of a row are held; of a LONG one the rest is read again.
template <int N, int PACKS, bool LONG, class T>
__device__ __forceinline__ void backward_rows(const Backward<T>& a) {
  constexpr int M = 2 * N;  // of a pack: N elements of x^, then N of dy
  float* const dweight = a.parts ? a.parts + (int64_t)blockIdx.x * a.d : nullptr;
  float* const dbias = dweight + (int64_t)gridDim.x * a.d;
  float sums[PACKS][M] = {};
  if (LONG && dweight)  // the sums of columns that aren't held are in memory, each touched by one thread
    for (int j = PACKS * blockDim.x * N + threadIdx.x; j < a.d; j += blockDim.x) dweight[j] = dbias[j] = 0;

  for (int64_t first = (int64_t)blockIdx.x * blockDim.y; first < a.rows; first += (int64_t)gridDim.x * blockDim.y) {
    const int64_t row = first + threadIdx.y, at = row * a.d;
    const int n = row < a.rows ? a.d : 0;
    const float mean = a.mean && n ? a.mean[row] : 0.0f, inverse = n ? a.inverse[row] : 0.0f;
    const auto load = [&](int j, float (&v)[M]) {
      load_both(a.x + at + j, a.dy + at + j, v);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = (v[k] - mean) * inverse;
    };
    const auto weight_of = [&](int j, float (&w)[N]) {
      if (a.weight) return load_floats(a.weight + j, w);
#pragma unroll
      for (int k = 0; k < N; ++k) w[k] = 1;
    };
    float held[PACKS][M];
    hold<N>(n, held, load);

    const auto for_elements = [&](auto use) {
      if constexpr (LONG) for_row<N>(n, held, load, use);
      else for_held<N>(n, held, use);
    };
    float2 sum = make_float2(0, 0);  // of dx^ and dx^ x^
    for_elements([&](int i, int j, float (&v)[M]) {
      float w[N];
      weight_of(j, w);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sum.x += w[k] * v[N + k];
        sum.y += w[k] * v[N + k] * v[k];
        if (i < PACKS) {
          sums[i][k] += v[N + k] * v[k];
          sums[i][N + k] += v[N + k];
        } else if (LONG && dweight) {
          dweight[j + k] += v[N + k] * v[k];
          dbias[j + k] += v[N + k];
        }
      }
    });
    sum = team_sum(sum);
    const float average = a.mean ? sum.x / a.d : 0.0f, along = sum.y / a.d;
    for_elements([&](int, int j, float (&v)[M]) {
      float w[N], dx[N];
      weight_of(j, w);
#pragma unroll
      for (int k = 0; k < N; ++k) dx[k] = (w[k] * v[N + k] - average - v[k] * along) * inverse;
      store_floats(a.dx + at + j, dx);
    });
  }

  if (!dweight) return;
  gather_teams(sums);
  if (threadIdx.y > 0) return;
#pragma unroll
  for (int i = 0; i < PACKS; ++i) {
    const int j = (i * blockDim.x + threadIdx.x) * N;
    if (j >= a.d) continue;
#pragma unroll
    for (int k = 0; k < N; ++k) dweight[j + k] = sums[i][k], dbias[j + k] = sums[i][N + k];
  }
}

#define NORM(T, NAME)                                                                                             \
  extern "C" __global__ __launch_bounds__(FORWARD_THREADS, 3) void norm_forward_##NAME(                           \
      const T* x, const T* residual, const float* weight, const float* bias, T* y, T* total, float* mean,         \
      float* inverse, int64_t rows, int d, float eps) {                                                           \
    const Forward<T> a = {x, residual, weight, bias, y, total, mean, inverse, rows, d, eps};                      \
    if (in_packs<T>(d, x, residual, weight, bias, y, total)) return forward_rows<Pack<T>::size>(a);               \
    forward_rows<1>(a);                                                                                           \
  }                                                                                                               \
  extern "C" __global__ __launch_bounds__(BACKWARD_THREADS) void norm_backward_##NAME(                            \
      const T* x, const T* dy, const float* weight, const float* mean, const float* inverse, T* dx, float* parts, \
      int64_t rows, int d) {                                                                                      \
    const Backward<T> a = {x, dy, weight, mean, inverse, dx, parts, rows, d};                                     \
    constexpr int N = Pack<T>::size, HELD = HELD_BACKWARD;                                                        \
    if (d > HELD * blockDim.x) return backward_rows<1, 1, true>(a);                                               \
    if (in_packs<T>(d, x, dy, weight, dx)) return backward_rows<N, HELD / N, false>(a);                           \
    backward_rows<1, HELD, false>(a);                                                                             \
  }
NORM(float, float32)
NORM(bfloat16, bfloat16)
