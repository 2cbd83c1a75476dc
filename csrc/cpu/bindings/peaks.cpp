// Python's view of kernels/peaks.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_peaks(nb::module_& m) {
  define(m, "peak_fma", [](int64_t rounds) {
    Released lock;
    return kernels().peak_fma(rounds);
  });
  define(m, "peak_bf16", [](int64_t rounds) {
    Released lock;
    return kernels().peak_bf16(rounds);
  });
  define(m, "stream_read", [](In<float> x, int64_t rounds) {
    Released lock;
    kernels().stream_read(x.data(), x.size(), rounds);
  });
  define(m, "stream_copy", [](In<float> x, Out<float> y, int64_t rounds) {
    require(x.size() == y.size(), "stream_copy: x and y differ in size");
    Released lock;
    kernels().stream_copy(x.data(), y.data(), x.size(), rounds);
  });
  define(m, "stream_triad", [](In<float> x, In<float> z, Out<float> y, float s, int64_t rounds) {
    require(x.size() == y.size() && x.size() == z.size(), "stream_triad: x, z and y differ in size");
    Released lock;
    kernels().stream_triad(x.data(), z.data(), y.data(), s, x.size(), rounds);
  });
}

}  // namespace minillm
