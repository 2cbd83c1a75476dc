// Python's view of kernels/gemm.hpp and kernels/sum_rows.hpp.
#include <nanobind/stl/optional.h>

#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

using Strided = nb::ndarray<const float, nb::device::cpu>;  // transposes and broadcasts come as they are

static const float* data_of(const std::optional<In<float>>& array, size_t size, const char* message) {
  if (!array) return nullptr;
  require(array->size() == size, message);
  return array->data();
}

// The last two axes of an array.
static Matrix matrix(const Strided& x) {
  if (x.size() == 0) return {x.data(), 1, 1};
  const Matrix m{x.data(), x.stride(x.ndim() - 2), x.stride(x.ndim() - 1)};
  const bool one_row = x.shape(x.ndim() - 2) <= 1, one_column = x.shape(x.ndim() - 1) <= 1;
  if (one_column) return {m.data, m.row, 1};
  if (one_row) return {m.data, 1, m.column};
  require(m.row == 1 || m.column == 1, "gemm: rows or columns must lie along memory");
  return m;
}

static Product product(const Strided& a, const Strided& b, const Out<float>& c, bool bfloat16) {
  const size_t axes = c.ndim();
  require(a.ndim() == axes && b.ndim() == axes, "gemm: a, b and c must have as many axes");
  const int64_t m = a.shape(axes - 2), k = a.shape(axes - 1), n = b.shape(axes - 1);
  require((int64_t)b.shape(axes - 2) == k, "gemm: a's columns and b's rows differ");
  require((int64_t)c.shape(axes - 2) == m && (int64_t)c.shape(axes - 1) == n, "gemm: c has another shape than a b");
  return {.m = m, .n = n, .k = k, .a = matrix(a), .b = matrix(b), .c = c.data(),
          .precision = bfloat16 ? Precision::bfloat16 : Precision::float32};
}

void bind_gemm(nb::module_& m) {
  m.def("gemm",
        [](Strided a, Strided b, Out<float> c, bool bfloat16, std::optional<In<float>> bias, int activation,
           std::optional<Out<float>> before, std::optional<In<float>> residual, bool accumulate) {
          require(c.ndim() == 2, "gemm: matrices have two axes");
          require(0 <= activation && activation <= (int)Activation::silu, "gemm: no such activation");
          Product p = product(a, b, c, bfloat16);
          p.bias = data_of(bias, p.n, "gemm: the bias must have an element for each column");
          p.residual = data_of(residual, c.size(), "gemm: the residual must have c's shape");
          require(!before || before->size() == c.size(), "gemm: before must have c's shape");
          p.before = before ? before->data() : nullptr;
          p.activation = static_cast<Activation>(activation);
          p.accumulate = accumulate;
          Released lock;
          kernels().gemm(p);
        },
        nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("c").noconvert(), nb::arg("bfloat16") = false,
        nb::arg("bias").noconvert() = nb::none(), nb::arg("activation") = 0,
        nb::arg("before").noconvert() = nb::none(), nb::arg("residual").noconvert() = nb::none(),
        nb::arg("accumulate") = false);
  m.def("gemm_batch",
        [](Strided a, Strided b, Out<float> c, bool bfloat16) {
          require(c.ndim() == 3, "gemm_batch: the batch is the first of three axes");
          const Product first = product(a, b, c, bfloat16);
          require(a.shape(0) == c.shape(0) && b.shape(0) == c.shape(0), "gemm_batch: a, b and c differ in number");
          Released lock;
          kernels().gemm_batch(first, c.shape(0), a.stride(0), b.stride(0));
        },
        nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("c").noconvert(), nb::arg("bfloat16") = false);
  define(m, "sum_rows", [](In<float> x, Out<float> y) {
    require(x.ndim() == 2 && y.size() == x.shape(1), "sum_rows: y must have an element for each column of x");
    Released lock;
    kernels().sum_rows(x.data(), y.data(), x.shape(0), x.shape(1));
  });
}

}  // namespace minillm
