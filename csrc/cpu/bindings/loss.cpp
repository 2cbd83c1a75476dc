// Python's view of kernels/loss.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_loss(nb::module_& m) {
  define(m, "cross_entropy_rows", [](Out<float> logits, In<int64_t> targets, Out<double> losses, int64_t ignored,
                                     float scale, bool gradient) {
    require(logits.ndim() == 2, "cross_entropy_rows: logits must be (rows, classes)");
    const int64_t rows = logits.shape(0), classes = logits.shape(1);
    require((int64_t)targets.size() == rows && (int64_t)losses.size() == rows,
            "cross_entropy_rows: targets and losses must have an element for each row");
    for (int64_t i = 0; i < rows; ++i)
      require(targets.data()[i] == ignored || (0 <= targets.data()[i] && targets.data()[i] < classes),
              "cross_entropy_rows: a target is outside the classes");
    Released lock;
    kernels().cross_entropy_rows(logits.data(), targets.data(), losses.data(), rows, classes, ignored, scale, gradient);
  });
}

}  // namespace minillm
