// The table of kernels: every function in it is compiled once for each instruction set, and one set is in use.
//
// Each family of kernels lists its functions in a header of its own as KERNEL(name, type). From the lists come the
// declarations inside each instruction set's namespace, the struct of function pointers, and the tables of table.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/activation.hpp"
#include "kernels/attention.hpp"
#include "kernels/dropout.hpp"
#include "kernels/embedding.hpp"
#include "kernels/gemm.hpp"
#include "kernels/gemv.hpp"
#include "kernels/ladder.hpp"
#include "kernels/loss.hpp"
#include "kernels/norm.hpp"
#include "kernels/optim.hpp"
#include "kernels/peaks.hpp"
#include "kernels/softmax.hpp"
#include "kernels/sum_rows.hpp"

#define MINILLM_KERNELS(KERNEL) \
  MINILLM_ACTIVATION_KERNELS(KERNEL) \
  MINILLM_ATTENTION_KERNELS(KERNEL)  \
  MINILLM_DROPOUT_KERNELS(KERNEL)    \
  MINILLM_EMBEDDING_KERNELS(KERNEL)  \
  MINILLM_GEMM_KERNELS(KERNEL)       \
  MINILLM_GEMV_KERNELS(KERNEL)       \
  MINILLM_LADDER_KERNELS(KERNEL)     \
  MINILLM_LOSS_KERNELS(KERNEL)       \
  MINILLM_NORM_KERNELS(KERNEL)       \
  MINILLM_OPTIM_KERNELS(KERNEL)      \
  MINILLM_PEAKS_KERNELS(KERNEL)      \
  MINILLM_SOFTMAX_KERNELS(KERNEL)    \
  MINILLM_SUM_ROWS_KERNELS(KERNEL)

namespace minillm {

struct Kernels {
  const char* isa;
#define KERNEL(name, ...)     \
  using name##_type = __VA_ARGS__; \
  name##_type* name;
  MINILLM_KERNELS(KERNEL)
#undef KERNEL
};

// The table in use: the widest the processor has, unless select_isa chose another.
const Kernels& kernels();

// Names this processor can run, the widest first.
std::vector<std::string> available_isas();

// Use the kernels of this name from here on; false if the processor can't run them.
bool select_isa(const std::string& name);

}  // namespace minillm

#ifdef ISA
namespace minillm::ISA {
#define KERNEL(name, ...) Kernels::name##_type name;
MINILLM_KERNELS(KERNEL)
#undef KERNEL
}  // namespace minillm::ISA
#endif
