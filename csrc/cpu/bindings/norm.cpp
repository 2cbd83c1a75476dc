// Python's view of kernels/norm.hpp.
#include <nanobind/stl/optional.h>

#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

using MaybeIn = std::optional<In<float>>;
using MaybeOut = std::optional<Out<float>>;

// The array's memory, or null where there is none; checked to have `size` elements.
template <class Array>
static auto data_of(const std::optional<Array>& array, size_t size) -> decltype(array->data()) {
  if (!array) return nullptr;
  require(array->size() == size, "norm: an array has another size than x, its rows or its features");
  return array->data();
}

void bind_norm(nb::module_& m) {
  define(m, "norm_forward", [](In<float> x, MaybeIn residual, MaybeIn weight, MaybeIn bias, Out<float> y,
                               MaybeOut total, MaybeOut mean, Out<float> inverse, float eps) {
    require(x.ndim() == 2 && y.size() == x.size(), "norm: x must be (rows, d), and y as large");
    const size_t rows = x.shape(0), d = x.shape(1), n = x.size();
    require(inverse.size() == rows && residual.has_value() == total.has_value(), "norm: an array is missing");
    const NormForward arguments{(int64_t)rows, (int64_t)d, eps, x.data(), data_of(residual, n), data_of(weight, d),
                                data_of(bias, d), y.data(), data_of(total, n), data_of(mean, rows), inverse.data()};
    Released lock;
    kernels().norm_forward(arguments);
  });
  define(m, "norm_backward", [](In<float> x, In<float> dy, MaybeIn weight, MaybeIn mean, In<float> inverse,
                                Out<float> dx, MaybeOut dweight, MaybeOut dbias) {
    require(x.ndim() == 2 && dy.size() == x.size() && dx.size() == x.size(), "norm: x, dy and dx differ in size");
    const size_t rows = x.shape(0), d = x.shape(1);
    require(inverse.size() == rows, "norm: inverse must have an element for each row");
    const NormBackward arguments{(int64_t)rows, (int64_t)d, x.data(), dy.data(), data_of(weight, d),
                                 data_of(mean, rows), inverse.data(), dx.data(), data_of(dweight, d),
                                 data_of(dbias, d)};
    Released lock;
    kernels().norm_backward(arguments);
  });
}

}  // namespace minillm
