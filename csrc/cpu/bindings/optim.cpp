// Python's view of kernels/optim.hpp: lists of arrays.
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "kernels.hpp"

namespace minillm {

// Pointers and sizes of a list of arrays.
template <class T>
struct List {
  std::vector<T*> data;
  std::vector<int64_t> sizes;
  explicit List(const nb::list& arrays) {
    for (nb::handle item : arrays) {
      using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
      Array array;
      require(nb::try_cast<Array>(item, array, false), "the list must hold contiguous float32 arrays");
      data.push_back(array.data());
      sizes.push_back(array.size());
    }
  }
};

void bind_optim(nb::module_& m) {
  define(m, "adam_step", [](nb::list theta, nb::list g, nb::list first, nb::list second, nb::list decays, float gain1,
                            float gain2, float eps, float step, float root, float kept, float scale) {
    const List<float> t(theta), m(first), v(second);
    const List<const float> gradients(g);
    require(t.sizes == gradients.sizes && t.sizes == m.sizes && t.sizes == v.sizes && decays.size() == t.sizes.size(),
            "adam_step: the lists differ in length or their arrays in size");
    std::vector<AdamTensor> tensors;
    for (size_t i = 0; i < t.sizes.size(); ++i)
      tensors.push_back({t.sizes[i], t.data[i], gradients.data[i], m.data[i], v.data[i], nb::cast<bool>(decays[i])});
    const AdamConstants constants{gain1, gain2, eps, step, root, kept, scale};
    Released lock;
    kernels().adam_step(tensors.data(), tensors.size(), constants);
  });
  define(m, "sum_of_squares", [](nb::list arrays) {
    const List<const float> list(arrays);
    Released lock;
    return kernels().sum_of_squares(list.data.data(), list.sizes.data(), list.sizes.size());
  });
  define(m, "scale_arrays", [](nb::list arrays, float by) {
    const List<float> list(arrays);
    Released lock;
    kernels().scale_arrays(list.data.data(), list.sizes.data(), list.sizes.size(), by);
  });
}

}  // namespace minillm
