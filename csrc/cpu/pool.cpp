#include "pool.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace minillm::pool {

constexpr size_t ALIGNMENT = 64;
constexpr size_t LARGE = 1 << 16;          // smaller blocks are the C library's business
constexpr size_t HUGE_PAGE = 2 << 20;      // large blocks ask for pages of this size: fewer entries in the page table
constexpr int64_t KEPT_ANYWAY = 256 << 20; // more is kept only up to half of what was in use at most
constexpr size_t STEPS = 8;                // size classes from one power of two to the next
constexpr size_t CLASSES = 48 * STEPS;
constexpr size_t LARGER_CLASSES = 2;       // how far above its own a request may be served

namespace {

// Stands in front of every block, and keeps it aligned.
struct alignas(ALIGNMENT) Header {
  size_t capacity;    // bytes behind the header
  size_t size_class;  // CLASSES for a small block
};

struct Pool {
  std::mutex mutex;
  std::vector<Header*> kept[CLASSES];
  int64_t used = 0, peak = 0, kept_bytes = 0;
};

Pool& the_pool() {
  static Pool* pool = [] {
    Pool* made = new Pool;  // never destroyed: arrays may be freed after static objects are
#if defined(__unix__) || defined(__APPLE__)
    // A fork while another thread allocates must not leave the child with a lock that nobody will open.
    pthread_atfork([] { the_pool().mutex.lock(); }, [] { the_pool().mutex.unlock(); }, [] { the_pool().mutex.unlock(); });
#endif
    return made;
  }();
  return *pool;
}

// Powers of two cut into STEPS: the class whose capacity is the smallest that holds `bytes`.
size_t class_of(size_t bytes) {
  const size_t power = std::bit_width(bytes - 1) - 1, step = ((size_t)1 << power) / STEPS;
  return power * STEPS + (bytes - ((size_t)1 << power) + step - 1) / step;
}

size_t capacity_of(size_t size_class) {
  const size_t power = size_class / STEPS, steps = size_class % STEPS;
  return ((size_t)1 << power) + steps * (((size_t)1 << power) / STEPS);
}

Header* from_system(size_t capacity) {
  const size_t bytes = sizeof(Header) + capacity;
  const size_t alignment = capacity >= HUGE_PAGE ? HUGE_PAGE : 4096;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#if defined(__linux__)
  if (memory && capacity >= HUGE_PAGE) madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  return static_cast<Header*>(memory);
}

void drop_all(Pool& pool) {
  for (auto& blocks : pool.kept) {
    for (Header* block : blocks) std::free(block);
    blocks.clear();
  }
  pool.kept_bytes = 0;
}

// A kept block of this class or one little larger; null if there is none.
Header* take(Pool& pool, size_t size_class) {
  for (size_t c = size_class; c <= size_class + LARGER_CLASSES && c < CLASSES; ++c)
    if (!pool.kept[c].empty()) {
      Header* block = pool.kept[c].back();
      pool.kept[c].pop_back();
      pool.kept_bytes -= block->capacity;
      return block;
    }
  return nullptr;
}

Header* allocate_large(size_t bytes) {
  Pool& pool = the_pool();
  const size_t size_class = class_of(bytes);
  const std::lock_guard lock(pool.mutex);
  Header* block = take(pool, size_class);
  if (!block) {
    block = from_system(capacity_of(size_class));
    if (!block && pool.kept_bytes) {  // perhaps the system has room once it gets back what isn't used
      drop_all(pool);
      block = from_system(capacity_of(size_class));
    }
    if (!block) return nullptr;
    *block = {capacity_of(size_class), size_class};
  }
  pool.used += block->capacity;
  pool.peak = std::max(pool.peak, pool.used);
  return block;
}

void release_large(Header* block) {
  Pool& pool = the_pool();
  {
    const std::lock_guard lock(pool.mutex);
    pool.used -= block->capacity;
    if (pool.kept_bytes + (int64_t)block->capacity <= std::max(KEPT_ANYWAY, pool.peak / 2)) {
      pool.kept[block->size_class].push_back(block);
      pool.kept_bytes += block->capacity;
      return;
    }
  }
  std::free(block);
}

}  // namespace

void* allocate(size_t bytes, bool zeroed) {
  Header* block;
  if (bytes < LARGE) {
    block = static_cast<Header*>(std::aligned_alloc(ALIGNMENT, sizeof(Header) + (bytes + 63) / 64 * 64));
    if (block) *block = {bytes, CLASSES};
  } else {
    block = allocate_large(bytes);
  }
  if (!block) return nullptr;
  if (zeroed) std::memset(block + 1, 0, bytes);
  return block + 1;
}

void* reallocate(void* old, size_t bytes) {
  void* block = allocate(bytes, false);
  if (block && old) {
    std::memcpy(block, old, std::min(bytes, (static_cast<Header*>(old) - 1)->capacity));
    release(old);
  }
  return block;
}

void release(void* memory) {
  if (!memory) return;
  Header* block = static_cast<Header*>(memory) - 1;
  if (block->size_class == CLASSES)
    std::free(block);
  else
    release_large(block);
}

Statistics statistics() {
  Pool& pool = the_pool();
  const std::lock_guard lock(pool.mutex);
  return {pool.used, pool.peak, pool.kept_bytes};
}

void reset_peak() {
  Pool& pool = the_pool();
  const std::lock_guard lock(pool.mutex);
  pool.peak = pool.used;
}

void trim() {
  Pool& pool = the_pool();
  const std::lock_guard lock(pool.mutex);
  drop_all(pool);
}

}  // namespace minillm::pool
