// Python's view of kernels/gemv.hpp.
#include <nanobind/stl/optional.h>

#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

using Optional = std::optional<In<float>>;

template <class Weight>
static Gemv<Weight> arguments(const In<float>& x, const In<Weight>& w, const Optional& bias, const Optional& residual,
                              int activation, const Out<float>& y) {
  require(x.ndim() == 2 && w.ndim() == 2 && y.ndim() == 2, "gemv: x, the weight and y have two axes");
  require(x.shape(1) == w.shape(1) && y.shape(0) == x.shape(0) && y.shape(1) == w.shape(0), "gemv: shapes don't fit");
  require(!bias || bias->size() == w.shape(0), "gemv: the bias must have an element for each output");
  require(!residual || residual->size() == y.size(), "gemv: the residual must have y's shape");
  require(0 <= activation && activation <= (int)Activation::silu, "gemv: no such activation");
  return {.rows = (int64_t)x.shape(0), .outputs = (int64_t)w.shape(0), .inputs = (int64_t)x.shape(1), .x = x.data(),
          .w = w.data(), .scale = nullptr, .bias = bias ? bias->data() : nullptr,
          .residual = residual ? residual->data() : nullptr, .activation = static_cast<Activation>(activation),
          .y = y.data()};
}

void bind_gemv(nb::module_& m) {
  const auto array = [](const char* name) { return nb::arg(name).noconvert(); };
  const auto optional = [](const char* name) { return nb::arg(name).noconvert().none(); };
  m.def("gemv",
        [](In<float> x, In<float> w, Optional bias, Optional residual, int activation, Out<float> y) {
          const auto g = arguments(x, w, bias, residual, activation, y);
          Released lock;
          kernels().gemv_float32(g);
        },
        array("x"), array("w"), optional("bias"), optional("residual"), nb::arg("activation"), array("y"));
  m.def("gemv_bfloat16",
        [](In<float> x, In<uint16_t> w, Optional bias, Optional residual, int activation, Out<float> y) {
          const auto g = arguments(x, w, bias, residual, activation, y);
          Released lock;
          kernels().gemv_bfloat16(g);
        },
        array("x"), array("w"), optional("bias"), optional("residual"), nb::arg("activation"), array("y"));
  m.def("gemv_int8",
        [](In<float> x, In<int8_t> w, In<float> scale, Optional bias, Optional residual, int activation,
           Out<float> y) {
          auto g = arguments(x, w, bias, residual, activation, y);
          require(scale.size() == w.shape(0), "gemv: there must be a scale for each output");
          require(g.inputs <= GEMV_INPUTS, "gemv: too many inputs for int8");
          g.scale = scale.data();
          Released lock;
          kernels().gemv_int8(g);
        },
        array("x"), array("w"), array("scale"), optional("bias"), optional("residual"), nb::arg("activation"),
        array("y"));
  define(m, "read_floats", [](In<float> x) {
    Released lock;
    return kernels().read_floats(x.data(), x.size());
  });
}

}  // namespace minillm
