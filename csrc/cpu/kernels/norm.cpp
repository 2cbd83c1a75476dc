// Layer norm (Ba et al. 2016, equations 3 and 4) and RMS norm (Zhang & Sennrich 2019, equation 4).
//
// A row is read from memory once: its sums and its result are computed while it is in the cache.
#include <cmath>

#include "kernels.hpp"
#include "kernels/rows.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

namespace minillm::ISA {

constexpr int64_t GRAIN = 1 << 13;    // elements; fewer aren't worth a second thread
constexpr int64_t PART_ROWS = 64;     // at least: rows whose weight gradients are added up by one thread
constexpr int64_t MOST_PARTS = 32;

static void forward_row(const NormForward& a, int64_t row) {
  const int64_t d = a.d, at = row * d;
  const float* x = a.x + at;
  if (a.residual) {
    for_vectors(d, [&](int64_t j, int64_t left) {
      store_up_to(a.total + at + j, load_up_to(x + j, left) + load_up_to(a.residual + at + j, left), left);
    });
    x = a.total + at;
  }
  const auto value = [&](int64_t j, int64_t left) { return load_up_to(x + j, left); };
  const float mean = a.mean ? (float)(sum_over(d, value) / d) : 0.0f;
  const float variance = (float)(sum_over(d, [&](int64_t j, int64_t left) {
    const vec centred = only_first(load_up_to(x + j, left) - mean, left);
    return centred * centred;
  }) / d);
  const float inverse = 1 / std::sqrt(variance + a.eps);
  for_vectors(d, [&](int64_t j, int64_t left) {
    vec y = (load_up_to(x + j, left) - mean) * inverse;
    if (a.weight) y *= load_up_to(a.weight + j, left);
    if (a.bias) y += load_up_to(a.bias + j, left);
    store_up_to(a.y + at + j, y, left);
  });
  if (a.mean) a.mean[row] = mean;
  a.inverse[row] = inverse;
}

void norm_forward(const NormForward& a) {
  parallel_for(a.rows, GRAIN / std::max<int64_t>(1, a.d), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) forward_row(a, row);
  });
}

// dx = (dx^ - mean(dx^) - x^ mean(dx^ x^)) inverse, dx^ = weight dy; RMS norm without the middle term.
// dweight += dy x^, dbias += dy
static void backward_row(const NormBackward& a, int64_t row, float* dweight, float* dbias) {
  const int64_t d = a.d, at = row * d;
  const float mean = a.mean ? a.mean[row] : 0.0f, inverse = a.inverse[row];
  const auto x_hat = [&](int64_t j, int64_t left) { return (load_up_to(a.x + at + j, left) - mean) * inverse; };
  float* const dx_hat = a.dx + at;  // until dx itself takes its place
  const float sum_dx_hat = (float)sum_over(d, [&](int64_t j, int64_t left) {
    const vec dy = load_up_to(a.dy + at + j, left);
    const vec v = a.weight ? dy * load_up_to(a.weight + j, left) : dy;
    store_up_to(dx_hat + j, v, left);
    return v;
  });
  const float average = a.mean ? sum_dx_hat / d : 0.0f;
  const auto product = [&](int64_t j, int64_t left) { return load_up_to(dx_hat + j, left) * x_hat(j, left); };
  const float along = (float)(sum_over(d, product) / d);
  for_vectors(d, [&](int64_t j, int64_t left) {
    const vec x = x_hat(j, left), dy = load_up_to(a.dy + at + j, left);
    store_up_to(a.dx + at + j, (load_up_to(dx_hat + j, left) - average - x * along) * inverse, left);
    if (dweight) store_up_to(dweight + j, load_up_to(dweight + j, left) + dy * x, left);
    if (dbias) store_up_to(dbias + j, load_up_to(dbias + j, left) + dy, left);
  });
}

// out_j = sum over the parts, in order.
static void add_parts(const float* parts, int64_t count, int64_t stride, int64_t d, float* out) {
  for_vectors(d, [&](int64_t j, int64_t left) {
    vec total{};
    for (int64_t part = 0; part < count; ++part) total += load_up_to(parts + part * stride + j, left);
    store_up_to(out + j, total, left);
  });
}

// Rows are cut into parts that depend on their number alone, each with weight gradients of its own.
void norm_backward(const NormBackward& a) {
  const int64_t count = std::clamp<int64_t>(a.rows / PART_ROWS, 1, MOST_PARTS);
  float* parts = static_cast<float*>(scratch(2 * count * a.d * sizeof(float)));
  parallel_for(count, GRAIN * count / std::max<int64_t>(1, a.rows * a.d), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      float* dweight = parts + 2 * part * a.d;
      std::memset(dweight, 0, 2 * a.d * sizeof(float));
      for (int64_t row = a.rows * part / count; row < a.rows * (part + 1) / count; ++row)
        backward_row(a, row, a.dweight ? dweight : nullptr, a.dbias ? dweight + a.d : nullptr);
    }
  });
  if (a.dweight) add_parts(parts, count, 2 * a.d, a.d, a.dweight);
  if (a.dbias) add_parts(parts + a.d, count, 2 * a.d, a.d, a.dbias);
}

}  // namespace minillm::ISA
