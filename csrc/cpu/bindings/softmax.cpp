// Python's view of kernels/softmax.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

// Rows and length of the matrix that all arrays are.
static std::pair<int64_t, int64_t> shape_of(const In<float>& x, const Out<float>& y) {
  require(x.ndim() == 2 && x.size() == y.size(), "softmax: x must be (rows, n), and the others as large");
  return {x.shape(0), x.shape(1)};
}

void bind_softmax(nb::module_& m) {
  define(m, "softmax_forward", [](In<float> x, Out<float> y) {
    const auto [rows, n] = shape_of(x, y);
    Released lock;
    kernels().softmax_forward(x.data(), y.data(), rows, n);
  });
  define(m, "softmax_backward", [](In<float> p, In<float> dp, Out<float> dx) {
    const auto [rows, n] = shape_of(p, dx);
    require(dp.size() == p.size(), "softmax: p and dp differ in size");
    Released lock;
    kernels().softmax_backward(p.data(), dp.data(), dx.data(), rows, n);
  });
  define(m, "log_softmax_forward", [](In<float> x, Out<float> y) {
    const auto [rows, n] = shape_of(x, y);
    Released lock;
    kernels().log_softmax_forward(x.data(), y.data(), rows, n);
  });
  define(m, "log_softmax_backward", [](In<float> l, In<float> dl, Out<float> dx) {
    const auto [rows, n] = shape_of(l, dx);
    require(dl.size() == l.size(), "softmax: l and dl differ in size");
    Released lock;
    kernels().log_softmax_backward(l.data(), dl.data(), dx.data(), rows, n);
  });
}

}  // namespace minillm
