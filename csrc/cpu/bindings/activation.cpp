// Python's view of kernels/activation.hpp.
#include <string>

#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

// NAME_forward(x, y) and NAME_backward(x, dy, dx), by the kernels in use at the time of the call.
template <class Forward, class Backward>
static void bind_pair(nb::module_& m, const std::string& name, Forward forward, Backward backward) {
  define(m, (name + "_forward").c_str(), [=](In<float> x, Out<float> y) {
    require(x.size() == y.size(), "activation: x and y differ in size");
    Released lock;
    (kernels().*forward)(x.data(), y.data(), x.size());
  });
  define(m, (name + "_backward").c_str(), [=](In<float> x, In<float> dy, Out<float> dx) {
    require(x.size() == dy.size() && x.size() == dx.size(), "activation: x, dy and dx differ in size");
    Released lock;
    (kernels().*backward)(x.data(), dy.data(), dx.data(), x.size());
  });
}

void bind_activation(nb::module_& m) {
  bind_pair(m, "gelu", &Kernels::gelu_forward, &Kernels::gelu_backward);
  bind_pair(m, "gelu_tanh", &Kernels::gelu_tanh_forward, &Kernels::gelu_tanh_backward);
  bind_pair(m, "silu", &Kernels::silu_forward, &Kernels::silu_backward);
}

}  // namespace minillm
