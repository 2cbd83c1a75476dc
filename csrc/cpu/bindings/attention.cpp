// Python's view of kernels/attention.hpp.
#include <nanobind/stl/optional.h>

#include <new>

#include "arrays.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace minillm {

namespace {

// (batch, heads, rows, d): views whose last axis is contiguous, as splitting the heads by transposing makes them.
using Input = nb::ndarray<const float, nb::ndim<4>, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<4>, nb::device::cpu>;
using Mask = std::optional<nb::ndarray<const bool, nb::ndim<4>, nb::device::cpu>>;
using Statistics = nb::ndarray<const float, nb::shape<2, -1, -1, -1>, nb::c_contig, nb::device::cpu>;
using StatisticsOut = nb::ndarray<float, nb::shape<2, -1, -1, -1>, nb::c_contig, nb::device::cpu>;

// What an array must be for pointer arithmetic within its shape to stay inside its memory.
template <class Array>
bool fits(const Array& x, int64_t batch, int64_t heads, int64_t rows, int64_t d) {
  const bool shape = (int64_t)x.shape(0) == batch && (int64_t)x.shape(1) == heads && (int64_t)x.shape(2) == rows &&
                     (int64_t)x.shape(3) == d;
  return shape && (x.size() == 0 || d == 1 || x.stride(3) == 1);
}

template <class View, class Array>
View view(const Array& x) {
  return {x.data(), x.stride(0), x.stride(1), x.stride(2)};
}

Booleans booleans(const Mask& m, const Attention& a) {
  if (!m) return {};
  require((int64_t)m->shape(0) == a.batch && (int64_t)m->shape(1) == a.heads && (int64_t)m->shape(2) == a.queries &&
              (int64_t)m->shape(3) == a.keys,
          "attention: a mask must be (batch, heads, queries, keys)");
  return {m->data(), m->stride(0), m->stride(1), m->stride(2), m->stride(3)};
}

Attention arguments(const Input& q, const Input& k, const Input& v, const Mask& mask, bool causal, float scale,
                    const Mask& keep, float keep_scale) {
  Attention a{};
  a.batch = q.shape(0), a.heads = q.shape(1), a.kv_heads = k.shape(1);
  a.queries = q.shape(2), a.keys = k.shape(2), a.d_k = q.shape(3), a.d_v = v.shape(3);
  a.causal = causal, a.scale = scale, a.keep_scale = keep_scale;
  require(fits(q, a.batch, a.heads, a.queries, a.d_k) && fits(k, a.batch, a.kv_heads, a.keys, a.d_k) &&
              fits(v, a.batch, a.kv_heads, a.keys, a.d_v),
          "attention: shapes of q, k and v don't fit, or their last axis isn't contiguous");
  require(a.kv_heads > 0 && a.heads % a.kv_heads == 0, "attention: heads must be a multiple of kv_heads");
  require(!causal || a.queries <= a.keys, "attention: causal with more queries than keys");
  a.mask = booleans(mask, a), a.keep = booleans(keep, a);
  return a;
}

template <class Array>
bool has_rows(const Array& statistics, const Attention& a) {
  return (int64_t)statistics.shape(1) == a.batch && (int64_t)statistics.shape(2) == a.heads &&
         (int64_t)statistics.shape(3) == a.queries;
}

// Uninitialised floats on a 64-byte boundary.
struct Scratch {
  explicit Scratch(int64_t floats) : data((float*)::operator new(floats * sizeof(float), std::align_val_t(64))) {}
  ~Scratch() { ::operator delete(data, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  float* data;
};

}  // namespace

void bind_attention(nb::module_& m) {
  define(m, "attention_forward", [](Input q, Input k, Input v, Mask mask, bool causal, float scale, Mask keep,
                                float keep_scale, Output o, StatisticsOut statistics) {
    const Attention a = arguments(q, k, v, mask, causal, scale, keep, keep_scale);
    require(fits(o, a.batch, a.heads, a.queries, a.d_v) && has_rows(statistics, a), "attention: wrong output shapes");
    Released lock;
    const int most = threads();
    const Scratch scratch(kernels().attention_forward_scratch(a, most));
    kernels().attention_forward(a, view<Heads>(q), view<Heads>(k), view<Heads>(v), view<HeadsOut>(o),
                                statistics.data(), scratch.data, most);
  });
  define(m, "attention_decode", [](Input q, Input k, Input v, Mask mask, float scale, Output o) {
    const Attention a = arguments(q, k, v, mask, false, scale, {}, 1);
    require(a.queries == 1 && fits(o, a.batch, a.heads, 1, a.d_v), "attention: wrong shapes for one query");
    Released lock;
    kernels().attention_decode(a, view<Heads>(q), view<Heads>(k), view<Heads>(v), view<HeadsOut>(o));
  });
  define(m, "attention_backward", [](Input q, Input k, Input v, Mask mask, bool causal, float scale, Mask keep,
                                 float keep_scale, Input o, Statistics statistics, Input d_o, Output dq, Output dk,
                                 Output dv) {
    const Attention a = arguments(q, k, v, mask, causal, scale, keep, keep_scale);
    require(fits(o, a.batch, a.heads, a.queries, a.d_v) && fits(d_o, a.batch, a.heads, a.queries, a.d_v) &&
                has_rows(statistics, a) && fits(dq, a.batch, a.heads, a.queries, a.d_k) &&
                fits(dk, a.batch, a.kv_heads, a.keys, a.d_k) && fits(dv, a.batch, a.kv_heads, a.keys, a.d_v),
            "attention: wrong shapes of the output or of gradients");
    Released lock;
    const int most = threads();
    const Scratch scratch(kernels().attention_backward_scratch(a, most));
    kernels().attention_backward(a, view<Heads>(q), view<Heads>(k), view<Heads>(v), view<Heads>(o),
                                 statistics.data(), view<Heads>(d_o), view<HeadsOut>(dq), view<HeadsOut>(dk),
                                 view<HeadsOut>(dv), scratch.data, most);
  });
}

}  // namespace minillm
