// A pool of large memory blocks: what one step frees, the next step gets again, its pages in place.
//
// A training step makes and frees the same arrays over and over. From the system each costs a page fault for every
// 4 KB and clearing; from here, nothing. Blocks come in size classes an eighth of a power of two apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minillm::pool {

// Aligned to 64 bytes. Null if the system has no more. `zeroed`: all bytes 0.
void* allocate(size_t bytes, bool zeroed);
void* reallocate(void* block, size_t bytes);
void release(void* block);

// Bytes of large blocks: in use now, in use at most since `reset_peak`, and kept for reuse.
struct Statistics {
  int64_t used, peak, kept;
};
Statistics statistics();
void reset_peak();

// Give all kept blocks back to the system.
void trim();

}  // namespace minillm::pool
