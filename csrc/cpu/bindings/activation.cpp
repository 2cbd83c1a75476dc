// Python's view of kernels/activation.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_activation(nb::module_& m) {
  define(m, "gelu_tanh_forward", [](In<float> x, Out<float> y) {
    require(x.size() == y.size(), "gelu_tanh: x and y differ in size");
    Released lock;
    kernels().gelu_tanh_forward(x.data(), y.data(), x.size());
  });
  define(m, "gelu_tanh_backward", [](In<float> x, In<float> dy, Out<float> dx) {
    require(x.size() == dy.size() && x.size() == dx.size(), "gelu_tanh: x, dy and dx differ in size");
    Released lock;
    kernels().gelu_tanh_backward(x.data(), dy.data(), dx.data(), x.size());
  });
  define(m, "silu_forward", [](In<float> x, Out<float> y) {
    require(x.size() == y.size(), "silu: x and y differ in size");
    Released lock;
    kernels().silu_forward(x.data(), y.data(), x.size());
  });
  define(m, "silu_backward", [](In<float> x, In<float> dy, Out<float> dx) {
    require(x.size() == dy.size() && x.size() == dx.size(), "silu: x, dy and dx differ in size");
    Released lock;
    kernels().silu_backward(x.data(), dy.data(), dx.data(), x.size());
  });
}

}  // namespace minillm
