// GELU, its tanh form and SiLU (activation.cuh), alone and in the passes that follow a matrix product: with the bias
// before, and with its gradient, a sum over rows, after.
#include "activation.cuh"
#include "floats.cuh"

constexpr int WIDTH = WARP, HEIGHT = 16;  // of a block over a matrix: threads along a row, and rows

template <class F, class T>
__device__ __forceinline__ void forward(const T* x, T* y, int64_t n) {
  const auto load = [&](int64_t i, auto& values) { load_floats(x + i, values); };
  for_elements<1, T>(n, is_aligned(x) && is_aligned(y), load, [&](int64_t i, auto& values) {
    for (float& v : values) v = F::value(v);
    store_floats(y + i, values);
  });
}

template <class F, class T>
__device__ __forceinline__ void backward(const T* x, const T* dy, T* dx, int64_t n) {
  const auto load = [&](int64_t i, auto& values) { load_both(x + i, dy + i, values); };
  for_elements<2, T>(n, is_aligned(x) && is_aligned(dy) && is_aligned(dx), load, [&](int64_t i, auto& values) {
    constexpr int N = sizeof(values) / sizeof(float) / 2;
    float gradient[N];
#pragma unroll
    for (int k = 0; k < N; ++k) gradient[k] = values[N + k] * F::slope(values[k]);
    store_floats(dx + i, gradient);
  });
}

// As they lie in memory: half the registers of floats.
template <class T, int N>
struct alignas(N * sizeof(T)) Raw {
  T values[N];
};

template <int N, class T>
__device__ __forceinline__ void unpack(const Raw<T, N>& raw, float (&values)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) values[k] = to_float(raw.values[k]);
}

// use(i, values of a, values of b) for this thread's elements of (rows, n) matrices: those of the N columns from j on,
// in rows HEIGHT gridDim.y apart, of which AT_ONCE are read before the first is used. If b is null, they are zeros.
template <int N, int AT_ONCE, class T, class Use>
__device__ __forceinline__ void for_rows(int64_t rows, int n, int j, const T* a, const T* b, Use use) {
  const int64_t step = (int64_t)gridDim.y * HEIGHT;
#pragma unroll 1
  for (int64_t row = (int64_t)blockIdx.y * HEIGHT + threadIdx.y; row < rows && j < n; row += AT_ONCE * step) {
    Raw<T, N> of_a[AT_ONCE], of_b[AT_ONCE];
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
      if (row + u * step >= rows) continue;
      const int64_t i = (row + u * step) * n + j;
      of_a[u] = *reinterpret_cast<const Raw<T, N>*>(a + i);
      if (b) of_b[u] = *reinterpret_cast<const Raw<T, N>*>(b + i);
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
      if (row + u * step >= rows) continue;
      float x[N], y[N] = {};
      unpack(of_a[u], x);
      if (b) unpack(of_b[u], y);
      use((row + u * step) * n + j, x, y);
    }
  }
}

// f(j) for the first of the N columns that a thread has, n or more if there are none; all of a block come along.
template <int N, class F>
__device__ __forceinline__ void for_columns(int n, F f) {
#pragma unroll 1
  for (int first = blockIdx.x * WIDTH * N; first < n; first += gridDim.x * WIDTH * N) f(first + threadIdx.x * N);
}

// Read anew for each row, from the cache: kept, it would take registers that hold rows on their way.
template <int N>
__device__ __forceinline__ void add_bias(const float* bias, int j, float (&values)[N]) {
  if (!bias) return;
  float added[N];
  load_floats(bias + j, added);
#pragma unroll
  for (int k = 0; k < N; ++k) values[k] += added[k];
}

// z = y + bias, kept in `before` unless that is null; out = f(z). before and out may be y.
template <class F, int N, class T>
__device__ __forceinline__ void bias_forward(const T* y, const float* bias, T* before, T* out, int64_t rows, int n) {
  for_columns<N>(n, [&](int j) {
    for_rows<N, 2>(rows, n, j, y, (const T*)nullptr, [&](int64_t i, float (&z)[N], float (&)[N]) {
      add_bias(bias, j, z);
      if (before) store_floats(before + i, z);
#pragma unroll
      for (int k = 0; k < N; ++k) z[k] = F::value(z[k]);
      store_floats(out + i, z);
    });
  });
}

// y += bias + residual, either of which may be null.
template <int N, class T>
__device__ __forceinline__ void bias_residual(T* y, const float* bias, const T* residual, int64_t rows, int n) {
  for_columns<N>(n, [&](int j) {
    for_rows<N, 2>(rows, n, j, y, residual, [&](int64_t i, float (&sum)[N], float (&of_residual)[N]) {
      add_bias(bias, j, sum);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += of_residual[k];
      store_floats(y + i, sum);
    });
  });
}

// parts: (gridDim.y, n). A block's sums of its columns, from those of its threads, in the order of threadIdx.y.
template <int N>
__device__ __forceinline__ void store_sums(const float (&sums)[N], float* parts, int first, int n) {
  __shared__ float of_threads[HEIGHT][N][WIDTH];
  __syncthreads();  // whoever still reads the last columns' sums
#pragma unroll
  for (int k = 0; k < N; ++k) of_threads[threadIdx.y][k][threadIdx.x] = sums[k];
  __syncthreads();
  for (int c = threadIdx.y * WIDTH + threadIdx.x; c < WIDTH * N; c += WIDTH * HEIGHT) {
    float total = 0;
#pragma unroll
    for (int y = 0; y < HEIGHT; ++y) total += of_threads[y][c / WIDTH][c % WIDTH];
    const int j = first + c % WIDTH * N + c / WIDTH;
    if (j < n) parts[(int64_t)blockIdx.y * n + j] = total;
  }
}

// dz = dy f'(z), and the sums of its columns, which are bias gradients.
template <class F, int N, class T>
__device__ __forceinline__ void bias_backward(const T* z, const T* dy, T* dz, float* parts, int64_t rows, int n) {
  for_columns<N>(n, [&](int j) {
    float sums[N] = {};
    for_rows<N, 2>(rows, n, j, z, dy, [&](int64_t i, float (&of_z)[N], float (&gradient)[N]) {
#pragma unroll
      for (int k = 0; k < N; ++k) gradient[k] *= F::slope(of_z[k]);
      store_floats(dz + i, gradient);
#pragma unroll
      for (int k = 0; k < N; ++k) sums[k] += gradient[k];
    });
    store_sums(sums, parts, j - threadIdx.x * N, n);
  });
}

template <int N, class T>
__device__ __forceinline__ void sum_rows(const T* x, float* parts, int64_t rows, int n) {
  for_columns<N>(n, [&](int j) {
    float sums[N] = {};
    for_rows<N, 4>(rows, n, j, x, (const T*)nullptr, [&](int64_t, float (&v)[N], float (&)[N]) {
#pragma unroll
      for (int k = 0; k < N; ++k) sums[k] += v[k];
    });
    store_sums(sums, parts, j - threadIdx.x * N, n);
  });
}

#define OVER_ARRAY extern "C" __global__ __launch_bounds__(ARRAY_THREADS) void
#define OVER_MATRIX extern "C" __global__ __launch_bounds__(WIDTH * HEIGHT, 2) void

#define ACTIVATION(F, NAME, T, SUFFIX)                                                                          \
  OVER_ARRAY NAME##_forward_##SUFFIX(const T* x, T* y, int64_t n) { forward<F>(x, y, n); }                      \
  OVER_ARRAY NAME##_backward_##SUFFIX(const T* x, const T* dy, T* dx, int64_t n) { backward<F>(x, dy, dx, n); } \
  OVER_MATRIX bias_##NAME##_forward_##SUFFIX(const T* y, const float* bias, T* before, T* out, int64_t rows,    \
                                             int n) {                                                           \
    constexpr int N = Pack<T>::size;                                                                            \
    if (in_packs<T>(n, y, bias, before, out)) return bias_forward<F, N>(y, bias, before, out, rows, n);         \
    bias_forward<F, 1>(y, bias, before, out, rows, n);                                                          \
  }                                                                                                             \
  OVER_MATRIX bias_##NAME##_backward_##SUFFIX(const T* z, const T* dy, T* dz, float* parts, int64_t rows,       \
                                              int n) {                                                          \
    if (in_packs<T>(n, z, dy, dz)) return bias_backward<F, Pack<T>::size>(z, dy, dz, parts, rows, n);           \
    bias_backward<F, 1>(z, dy, dz, parts, rows, n);                                                             \
  }
#define FOR_TYPE(T, SUFFIX)                                                                                     \
  ACTIVATION(Gelu, gelu, T, SUFFIX)                                                                             \
  ACTIVATION(GeluTanh, gelu_tanh, T, SUFFIX)                                                                    \
  ACTIVATION(Silu, silu, T, SUFFIX)                                                                             \
  OVER_MATRIX bias_residual_forward_##SUFFIX(T* y, const float* bias, const T* residual, int64_t rows, int n) { \
    constexpr int N = Pack<T>::size;                                                                            \
    if (in_packs<T>(n, y, bias, residual)) return bias_residual<N>(y, bias, residual, rows, n);                 \
    bias_residual<1>(y, bias, residual, rows, n);                                                               \
  }                                                                                                             \
  OVER_MATRIX sum_rows_##SUFFIX(const T* x, float* parts, int64_t rows, int n) {                                \
    if (in_packs<T>(n, x)) return sum_rows<Pack<T>::size>(x, parts, rows, n);                                   \
    sum_rows<1>(x, parts, rows, n);                                                                             \
  }
FOR_TYPE(float, float32)
FOR_TYPE(bfloat16, bfloat16)
