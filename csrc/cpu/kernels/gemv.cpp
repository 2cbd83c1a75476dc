// y = f(x W^T + b) + r for up to 8 rows of x at a time, at the speed memory delivers W.
//
// A few rows of W are read side by side, each vector of them multiplied with that of all rows of x. Every element of y
// is summed in an order of its own that neither the other rows nor the threads change.
#include "kernels.hpp"
#include "kernels/activation_formulas.hpp"
#include "parallel.hpp"
#include "scratch.hpp"
#include "simd.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN_BYTES = 1 << 16;  // less of W isn't worth a second thread

typedef uint16_t halves __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef uint32_t words __attribute__((vector_size(LANES * sizeof(uint32_t))));

inline vec widen(const float* w) { return load(w); }

// A bfloat16 is the upper half of a float.
inline vec widen(const uint16_t* w) {
  halves h;
  std::memcpy(&h, w, sizeof h);
  return (vec)(__builtin_convertvector(h, words) << 16);
}

constexpr int64_t AHEAD = 8192;  // bytes: how far ahead W is fetched

template <class Weight>
inline void prefetch_ahead(const Weight* p) {
  __builtin_prefetch((const char*)p + AHEAD, 0, 2);
}

// Rows of W at a time for so many rows of x: as many as a vector has lanes for the sums, but no more than `most`.
constexpr int at_a_time(int rows, int most) { return rows >= LANES ? 1 : LANES / rows < most ? LANES / rows : most; }
constexpr int FLOAT_ROWS = 4;  // long rows, often a multiple of a page apart: more would fight for places in the cache
constexpr int BYTE_ROWS = 4;

// put(m, n, sum of total[m][n]) for all m and n.
template <int N, int M, class Vector, class Put>
static void put_sums(const Vector (&total)[M][N], Put put) {
#pragma GCC unroll 16
  for (int first = 0; first < M * N; first += LANES) {
    Vector rows[LANES] = {};
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i)
      if (first + i < M * N) rows[i] = total[(first + i) / N][(first + i) % N];
    const Vector sums = sum_each(rows);
    for (int i = 0; i < LANES && first + i < M * N; ++i) put((first + i) / N, (first + i) % N, sums[i]);
  }
}

// y[n, m] = sum_i x[n, i] w[m, i] for N rows n of x and M rows m of W; `outputs` from one row of y to the next.
template <int N, int M, class Weight>
static void dots(const float* x, const Weight* w, int64_t inputs, float* y, int64_t outputs) {
  vec total[M][N] = {};
  int64_t i = 0;
  for (; i + LANES <= inputs; i += LANES) {
    vec row[N];
    for (int n = 0; n < N; ++n) row[n] = load(x + n * inputs + i);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const Weight* p = w + m * inputs + i;
      prefetch_ahead(p);
      const vec weight = widen(p);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) total[m][n] += weight * row[n];
    }
  }
  if (i < inputs) {
    for (int m = 0; m < M; ++m) {
      Weight last[LANES] = {};
      std::memcpy(last, w + m * inputs + i, (inputs - i) * sizeof(Weight));
      for (int n = 0; n < N; ++n) total[m][n] += widen(last) * load_first(x + n * inputs + i, inputs - i);
    }
  }
  put_sums<N, M>(total, [&](int m, int n, float value) { y[n * outputs + m] = value; });
}

// Bias, activation and residual for `count` neighbouring elements of y.
static void finish(float* y, const float* bias, Activation activation, const float* residual, int64_t count) {
  if (!bias && !residual && activation == Activation::none) return;
  for (int64_t i = 0; i < count; i += LANES) {
    vec v = load_up_to(y + i, count - i);
    if (bias) v += load_up_to(bias + i, count - i);
    v = activated(activation, v);
    if (residual) v += load_up_to(residual + i, count - i);
    store_up_to(y + i, v, count - i);
  }
}

// fill(begin, end) computes x W^T for these outputs, on every thread of the team; then what follows the product.
template <class Weight, class Fill>
static void outputs_in_parallel(const Gemv<Weight>& g, Fill fill) {
  const int64_t grain = GRAIN_BYTES / (1 + g.inputs * (int64_t)sizeof(Weight)) + 1;
  parallel_for(g.outputs, grain, [&](int64_t begin, int64_t end) {
    fill(begin, end);
    for (int64_t n = 0; n < g.rows; ++n) {
      const int64_t at = n * g.outputs + begin;
      finish(g.y + at, g.bias ? g.bias + begin : nullptr, g.activation, g.residual ? g.residual + at : nullptr,
             end - begin);
    }
  });
}

template <int N, class Weight>
static void floats(const Gemv<Weight>& g) {
  constexpr int M = at_a_time(N, FLOAT_ROWS);
  outputs_in_parallel(g, [&](int64_t begin, int64_t end) {
    int64_t m = begin;
    for (; m + M <= end; m += M) dots<N, M>(g.x, g.w + m * g.inputs, g.inputs, g.y + m, g.outputs);
    for (; m < end; ++m) dots<N, 1>(g.x, g.w + m * g.inputs, g.inputs, g.y + m, g.outputs);
  });
}

// A row of x as whole numbers from -127 to 127 times the scale that is returned. `padded` >= inputs, filled with 0.
// A row with NaN or infinity becomes zeros, and its scale NaN.
static float quantize_row(const float* x, int8_t* q, int64_t inputs, int64_t padded) {
  typedef int8_t bytes __attribute__((vector_size(LANES)));
  vec top = broadcast(1e-30f), not_finite{};
  for (int64_t i = 0; i < inputs; i += LANES) {
    const vec v = load_up_to(x + i, inputs - i);
    top = max(max(v, -v), top);
    not_finite += v - v;  // NaN for NaN and infinity, else 0
  }
  const float largest_x = largest(top), per_step = 127.0f / largest_x;
  const bool finite = sum(not_finite) == 0;
  for (int64_t i = 0; i < padded; i += LANES) {
    const vec steps = finite ? (load_up_to(x + i, inputs - i) * per_step + ROUNDS) - ROUNDS : vec{};
    const bytes rounded = __builtin_convertvector(__builtin_convertvector(steps, ivec), bytes);
    std::memcpy(q + i, &rounded, sizeof rounded);
  }
  return finite ? largest_x / 127.0f : __builtin_nanf("");
}

#if defined(__AVX512VNNI__)
constexpr int64_t BYTES = 64;

inline __m512i bytes(const int8_t* w, int64_t left) {
  if (left >= BYTES) return _mm512_loadu_si512(w);
  return _mm512_maskz_loadu_epi8((1ull << left) - 1, w);
}

// vpdpbusd multiplies unsigned with signed bytes: w + 128 with x; so 128 times the sum of x comes off again.
// (32-bit sums may wrap around on the way; what they end with doesn't.)
template <int N, int M>
static void int_dots(const int8_t* x, const int32_t* sum_x, int64_t padded, const int8_t* w, int64_t inputs,
                     int32_t (*sums)[N]) {
  const __m512i top_bit = _mm512_set1_epi8((char)0x80);
  words total[M][N] = {};
  for (int64_t i = 0; i < inputs; i += BYTES) {
    __m512i row[N];
    for (int n = 0; n < N; ++n) row[n] = _mm512_loadu_si512(x + n * padded + i);
    for (int m = 0; m < M; ++m) {
      const int8_t* p = w + m * inputs + i;
      prefetch_ahead(p);
      const __m512i weight = _mm512_xor_si512(bytes(p, inputs - i), top_bit);
      for (int n = 0; n < N; ++n) total[m][n] = (words)_mm512_dpbusd_epi32((__m512i)total[m][n], weight, row[n]);
    }
  }
  put_sums<N, M>(total, [&](int m, int n, uint32_t value) { sums[m][n] = (int32_t)(value - 128u * sum_x[n]); });
}
#elif defined(__AVX2__) && !defined(__AVX512F__)
constexpr int64_t BYTES = 32;

inline __m256i bytes(const int8_t* w, int64_t left) {
  if (left >= BYTES) return _mm256_loadu_si256((const __m256i*)w);
  int8_t last[BYTES] = {};
  std::memcpy(last, w, left);
  return _mm256_loadu_si256((const __m256i*)last);
}

// Here, too, one side has no sign: |w|, with w's sign moved to x. Sums of two products, at most 2 * 128 * 127, fit 16 bits.
template <int N, int M>
static void int_dots(const int8_t* x, const int32_t*, int64_t padded, const int8_t* w, int64_t inputs,
                     int32_t (*sums)[N]) {
  const __m256i ones = _mm256_set1_epi16(1);
  ivec total[M][N] = {};
  for (int64_t i = 0; i < inputs; i += BYTES) {
    __m256i row[N];
    for (int n = 0; n < N; ++n) row[n] = _mm256_loadu_si256((const __m256i*)(x + n * padded + i));
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const int8_t* p = w + m * inputs + i;
      prefetch_ahead(p);
      const __m256i weight = bytes(p, inputs - i), size = _mm256_abs_epi8(weight);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(row[n], weight));
        total[m][n] += (ivec)_mm256_madd_epi16(pairs, ones);
      }
    }
  }
  put_sums<N, M>(total, [&](int m, int n, int32_t value) { sums[m][n] = value; });
}
#else  // AVX-512 without VNNI, too: what the compiler makes of the plain loop is in vectors as well
constexpr int64_t BYTES = LANES;

template <int N, int M>
static void int_dots(const int8_t* x, const int32_t*, int64_t padded, const int8_t* w, int64_t inputs,
                     int32_t (*sums)[N]) {
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) {
      int32_t total = 0;
      for (int64_t i = 0; i < inputs; ++i) total += (int32_t)x[n * padded + i] * w[m * inputs + i];
      sums[m][n] = total;
    }
}
#endif

template <int N>
static void whole_numbers(const Gemv<int8_t>& g) {
  constexpr int M = at_a_time(N, BYTE_ROWS);
  const int64_t padded = (g.inputs + BYTES - 1) / BYTES * BYTES;
  int8_t* x = (int8_t*)scratch(N * padded);
  float scale[N];
  int32_t sum_x[N] = {};
  for (int n = 0; n < N; ++n) {
    scale[n] = quantize_row(g.x + n * g.inputs, x + n * padded, g.inputs, padded);
    for (int64_t i = 0; i < g.inputs; ++i) sum_x[n] += x[n * padded + i];
  }
  outputs_in_parallel(g, [&](int64_t begin, int64_t end) {
    int32_t sums[M][N];
    const auto put = [&](int64_t m, int count) {
      for (int j = 0; j < count; ++j)
        for (int n = 0; n < N; ++n) g.y[n * g.outputs + m + j] = (float)sums[j][n] * scale[n] * g.scale[m + j];
    };
    int64_t m = begin;
    for (; m + M <= end; m += M) int_dots<N, M>(x, sum_x, padded, g.w + m * g.inputs, g.inputs, sums), put(m, M);
    for (; m < end; ++m) int_dots<N, 1>(x, sum_x, padded, g.w + m * g.inputs, g.inputs, sums), put(m, 1);
  });
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// run(part, Count<N>) for the rows of x in parts of N, the largest first.
template <class Weight, class Run>
static void in_parts(Gemv<Weight> g, Run run) {
  for (int64_t left = g.rows; left > 0; left -= g.rows) {
    g.rows = left < GEMV_ROWS ? left : GEMV_ROWS;
    switch (g.rows) {
      case 1: run(g, Count<1>{}); break;
      case 2: run(g, Count<2>{}); break;
      case 3: run(g, Count<3>{}); break;
      case 4: run(g, Count<4>{}); break;
      case 5: run(g, Count<5>{}); break;
      case 6: run(g, Count<6>{}); break;
      case 7: run(g, Count<7>{}); break;
      default: run(g, Count<8>{});
    }
    g.x += g.rows * g.inputs, g.y += g.rows * g.outputs;
    if (g.residual) g.residual += g.rows * g.outputs;
  }
}

void gemv_float32(const Gemv<float>& g) {
  in_parts(g, [](const auto& part, auto n) { floats<decltype(n)::value>(part); });
}

void gemv_bfloat16(const Gemv<uint16_t>& g) {
  in_parts(g, [](const auto& part, auto n) { floats<decltype(n)::value>(part); });
}

void gemv_int8(const Gemv<int8_t>& g) {
  in_parts(g, [](const auto& part, auto n) { whole_numbers<decltype(n)::value>(part); });
}

// Reads n floats, a share on each thread, and adds up all but a few at each share's end: only the time it takes matters,
// which benchmarks/decode.py takes for the speed of memory.
float read_floats(const float* x, int64_t n) {
  float totals[256] = {};
  parallel(256, [&](int thread, int count) {
    const int64_t end = n * (thread + 1) / count;
    vec total[8] = {};
    for (int64_t i = n * thread / count; i + 8 * LANES <= end; i += 8 * LANES)
      for (int j = 0; j < 8; ++j) {
        prefetch_ahead(x + i + j * LANES);
        total[j] += load(x + i + j * LANES);
      }
    for (int j = 1; j < 8; ++j) total[0] += total[j];
    totals[thread] = sum(total[0]);
  });
  float total = 0;
  for (const float part : totals) total += part;
  return total;
}

}  // namespace minillm::ISA
