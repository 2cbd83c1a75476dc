// Python's view of kernels/dropout.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_dropout(nb::module_& m) {
  define(m, "keep_mask", [](Out<bool> keep, uint64_t seed, uint64_t counter, uint64_t threshold) {
    Released lock;
    kernels().keep_mask(keep.data(), keep.size(), {seed, counter, threshold});
  });
  define(m, "dropout", [](In<float> x, In<bool> keep, Out<float> y, float scale) {
    require(x.size() == y.size() && x.size() == keep.size(), "dropout: x, keep and y differ in size");
    Released lock;
    kernels().dropout(x.data(), keep.data(), y.data(), x.size(), scale);
  });
}

}  // namespace minillm
