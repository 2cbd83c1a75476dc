// The team's size, and what becomes of it after fork.
#include "parallel.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace minillm {

char team;

static int n_threads = 1;
static bool forked = false;  // in a child process the OpenMP threads don't exist, and waiting for them never ends

int threads() { return forked ? 1 : n_threads; }

void set_threads(int n) {
#if defined(__unix__) || defined(__APPLE__)
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
  (void)registered;
#endif
  n_threads = std::max(1, n);
}

}  // namespace minillm
