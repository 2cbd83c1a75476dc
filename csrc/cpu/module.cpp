// The Python module minillm._native: kernels of csrc/cpu on NumPy arrays.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/arrays.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

NB_MODULE(_native, m) {
  using namespace minillm;
  nb::set_leak_warnings(false);  // a tokenizer that lives as long as the program is none
  m.def("threads", &threads, "How many threads the kernels run on.");
  m.def("set_threads", &set_threads, nb::arg("n"));
  m.def("isa", [] { return std::string(kernels().isa); }, "The instruction set in use.");
  m.def("available_isas", &available_isas, "Instruction sets this processor can run, the widest first.");
  m.def("select_isa", &select_isa, nb::arg("name"), "Use these kernels; False if the processor can't run them.");
  bind_activation(m);
  bind_attention(m);
  bind_bpe(m);
  bind_dropout(m);
  bind_embedding(m);
  bind_gemm(m);
  bind_gemv(m);
  bind_ladder(m);
  bind_loss(m);
  bind_norm(m);
  bind_optim(m);
  bind_peaks(m);
  bind_pool(m);
  bind_softmax(m);
}
