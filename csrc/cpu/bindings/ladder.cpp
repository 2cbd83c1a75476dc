// Python's view of kernels/ladder.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_ladder(nb::module_& m) {
  m.attr("LADDER_STEPS") = LADDER_STEPS;
  define(m, "ladder", [](int step, In<float> a, In<float> b, Out<float> c) {
    require(1 <= step && step <= LADDER_STEPS, "ladder: there is no such step");
    require(a.ndim() == 2 && b.ndim() == 2 && c.ndim() == 2, "ladder: matrices have two axes");
    require(a.shape(1) == b.shape(0), "ladder: a's columns and b's rows differ");
    require(c.shape(0) == a.shape(0) && c.shape(1) == b.shape(1), "ladder: c has another shape than a b");
    Released lock;
    kernels().ladder(step, a.data(), b.data(), c.data(), a.shape(0), b.shape(1), a.shape(1));
  });
}

}  // namespace minillm
