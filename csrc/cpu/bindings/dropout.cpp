// Python's view of kernels/dropout.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_dropout(nb::module_& m) {
  define(m, "dropout", [](In<float> x, Out<float> y, uint64_t seed, uint64_t counter, uint64_t threshold, float scale) {
    require(x.size() == y.size(), "dropout: x and y differ in size");
    Released lock;
    kernels().dropout(x.data(), y.data(), x.size(), {seed, counter, threshold}, scale);
  });
  define(m, "keep_mask", [](Out<bool> keep, uint64_t seed, uint64_t counter, uint64_t threshold) {
    Released lock;
    kernels().keep_mask(keep.data(), keep.size(), {seed, counter, threshold});
  });
}

}  // namespace minillm
