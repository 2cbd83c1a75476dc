// Working memory of the kernels: kept from call to call, one piece for each thread.
#pragma once

#include <cstddef>

namespace minillm {

// At least `bytes` bytes at a multiple of 64, this thread's until its next call; what they hold is undefined.
void* scratch(size_t bytes);

}  // namespace minillm
