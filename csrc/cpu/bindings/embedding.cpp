// Python's view of kernels/embedding.hpp.
#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

void bind_embedding(nb::module_& m) {
  define(m, "take_rows", [](In<float> weight, In<int64_t> ids, Out<float> out) {
    require(weight.ndim() == 2 && out.ndim() == 2 && weight.shape(1) == out.shape(1), "take_rows: rows differ in length");
    require(ids.size() == out.shape(0), "take_rows: there must be a row of out for each id");
    Released lock;
    return kernels().take_rows(weight.data(), ids.data(), out.data(), weight.shape(0), ids.size(), weight.shape(1));
  });
  define(m, "sum_row_groups", [](In<float> dy, In<int64_t> order, In<int64_t> starts, Out<float> out) {
    require(dy.ndim() == 2 && out.ndim() == 2 && dy.shape(1) == out.shape(1), "sum_row_groups: rows differ in length");
    const int64_t n = dy.shape(0), groups = out.shape(0);
    require((int64_t)starts.size() == groups + 1 && (int64_t)order.size() == starts.data()[groups],
            "sum_row_groups: starts must hold where each group begins, and the end");
    for (int64_t g = 0; g < groups; ++g)
      require(0 <= starts.data()[g] && starts.data()[g] <= starts.data()[g + 1], "sum_row_groups: starts must ascend");
    for (size_t i = 0; i < order.size(); ++i)
      require(0 <= order.data()[i] && order.data()[i] < n, "sum_row_groups: there is no such row");
    Released lock;
    kernels().sum_row_groups(dy.data(), order.data(), starts.data(), out.data(), groups, dy.shape(1));
  });
}

}  // namespace minillm
