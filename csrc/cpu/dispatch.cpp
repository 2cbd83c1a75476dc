// Which instruction sets this processor has, and which one's kernels are in use.
#include "kernels.hpp"

namespace minillm {

namespace portable { extern const Kernels table; }
#ifdef MINILLM_X86
namespace avx2 { extern const Kernels table; }
namespace avx512 { extern const Kernels table; }
namespace avx512bf16 { extern const Kernels table; }
#endif

static std::vector<const Kernels*> available() {
  std::vector<const Kernels*> found;
#ifdef MINILLM_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  if (bf16) found.push_back(&avx512bf16::table);
  if (avx512) found.push_back(&avx512::table);
  if (avx2) found.push_back(&avx2::table);
#endif
  found.push_back(&portable::table);
  return found;
}

static const Kernels*& in_use() {
  static const Kernels* table = available().front();
  return table;
}

const Kernels& kernels() { return *in_use(); }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* table : available()) names.push_back(table->isa);
  return names;
}

bool select_isa(const std::string& name) {
  for (const Kernels* table : available())
    if (table->isa == name) {
      in_use() = table;
      return true;
    }
  return false;
}

}  // namespace minillm
