#include "scratch.hpp"

#include <cstdlib>
#include <new>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace minillm {

constexpr size_t HUGE_PAGE = 2 << 20;  // fewer, larger pages: less of the processor's page table cache is needed

namespace {
struct Memory {
  void* data = nullptr;
  size_t size = 0;
  ~Memory() { std::free(data); }
};
}  // namespace

void* scratch(size_t bytes) {
  thread_local Memory memory;
  if (bytes > memory.size) {
    std::free(memory.data);
    memory.size = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    memory.data = std::aligned_alloc(HUGE_PAGE, memory.size);
    if (!memory.data) {
      memory.size = 0;
      throw std::bad_alloc();
    }
#ifdef __linux__
    madvise(memory.data, memory.size, MADV_HUGEPAGE);
#endif
  }
  return memory.data;
}

}  // namespace minillm
