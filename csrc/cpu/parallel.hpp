// The one team of threads that all kernels share, by OpenMP.
//
// Two pools of threads on few cores fight for them, so everything parallel goes through here: `parallel` runs a
// function on every thread of the team, `barrier` waits for all of them, `parallel_for` cuts a range into one
// contiguous part a thread. Parts depend on the range and the number of threads only: same sizes, same bits.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#endif

namespace minillm {

// How many threads the team has now: 1 in a child after fork, whose copy of the team has lost its threads.
int threads();
void set_threads(int n);

// ThreadSanitizer doesn't see OpenMP's own synchronisation; these two lines tell it.
extern char team;
static inline void publish() {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(&team);
#endif
}
static inline void observe() {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(&team);
#endif
}

// How OpenMP hands its arguments to the team is out of ThreadSanitizer's sight, too.
#if defined(__SANITIZE_THREAD__)
#define MINILLM_UNCHECKED __attribute__((no_sanitize("thread")))
#else
#define MINILLM_UNCHECKED
#endif

// Run body(thread, n_threads) on every thread of the team, at most `most` of them. Not to be nested.
template <class Body>
MINILLM_UNCHECKED static inline void parallel(int most, Body&& body) {
  const int n = std::min(most, threads());
  if (n <= 1) {
    body(0, 1);
    return;
  }
  publish();
#pragma omp parallel num_threads(n)
  {
    observe();
    body(omp_get_thread_num(), omp_get_num_threads());
    publish();
  }
  observe();
}

// Inside `parallel`: wait until every thread of the team is here.
static inline void barrier() {
  publish();
#pragma omp barrier
  observe();
}

// Run body(begin, end) on parts of [0, n), one a thread, each of at least `grain` items (but the last).
template <class Body>
static inline void parallel_for(int64_t n, int64_t grain, Body&& body) {
  if (n <= 0) return;
  const int64_t useful = std::max<int64_t>(1, n / std::max<int64_t>(1, grain));
  parallel((int)std::min<int64_t>(useful, 1 << 20), [&](int thread, int count) {
    const int64_t begin = n * thread / count, end = n * (thread + 1) / count;
    if (begin < end) body(begin, end);
  });
}

}  // namespace minillm
