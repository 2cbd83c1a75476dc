// This instruction set's table of kernels.
#include "kernels.hpp"

#define STRING(x) #x
#define NAME(x) STRING(x)

namespace minillm::ISA {

extern const Kernels table;
const Kernels table = {
    .isa = NAME(ISA),
#define KERNEL(name, ...) .name = name,
    MINILLM_KERNELS(KERNEL)
#undef KERNEL
};

}  // namespace minillm::ISA
