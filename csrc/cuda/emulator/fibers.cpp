#include "fibers.hpp"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
#include <setjmp.h>
#endif

namespace emulator {
namespace {

constexpr std::size_t STACK = 256 << 10;
constexpr int WARP = 32;

// A barrier that threads pass together. A thread that has ended counts as one that has arrived.
struct Barrier {
  int alive = 0, arrived = 0;
  unsigned generation = 0;

  void release_if_all() {
    if (arrived > 0 && arrived == alive) arrived = 0, ++generation;
  }
};

struct Fiber : Thread {
  ucontext_t context;
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
#else
  jmp_buf place;
  bool begun = false;
#endif
  void* stack = nullptr;
  const Barrier* waits_at = nullptr;
  unsigned generation = 0;  // the barrier's, when this thread began to wait
  bool done = false;
  int number = 0;

  bool ready() const { return !done && (!waits_at || waits_at->generation != generation); }
};

struct Warp {
  Barrier barrier;
  alignas(16) unsigned char slots[WARP][SLOT_BYTES];
};

struct Scheduler {
  Block block;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  Barrier barrier;
  std::vector<unsigned char> shared;
#ifdef __SANITIZE_ADDRESS__
  ucontext_t home;
  void* fake_stack = nullptr;
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
#else
  jmp_buf home;
#endif
  Fiber* running = nullptr;
  Entry entry = nullptr;
  void** arguments = nullptr;
};

Scheduler* scheduler = nullptr;

Warp& warp() { return scheduler->warps[scheduler->running->number / WARP]; }

#ifdef __SANITIZE_ADDRESS__  // is told of every change of stacks

void arrive() { __sanitizer_finish_switch_fiber(nullptr, &scheduler->stack_bottom, &scheduler->stack_size); }

void back_to_scheduler(bool for_good) {
  Fiber* fiber = scheduler->running;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber->fake_stack, scheduler->stack_bottom,
                                 scheduler->stack_size);
  swapcontext(&fiber->context, &scheduler->home);
  __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler->stack_bottom, &scheduler->stack_size);
}

void go_to(Fiber& fiber) {
  __sanitizer_start_switch_fiber(&scheduler->fake_stack, fiber.stack, STACK);
  swapcontext(&scheduler->home, &fiber.context);
  __sanitizer_finish_switch_fiber(scheduler->fake_stack, nullptr, nullptr);
}

#else  // _longjmp leaves signal masks alone, which swapcontext sets by a system call each time

void arrive() {}

void back_to_scheduler(bool) {
  if (_setjmp(scheduler->running->place) == 0) _longjmp(scheduler->home, 1);
}

void go_to(Fiber& fiber) {
  if (_setjmp(scheduler->home) != 0) return;
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}

#endif

void wait(Barrier& barrier) {
  Fiber* fiber = scheduler->running;
  fiber->waits_at = &barrier, fiber->generation = barrier.generation;
  ++barrier.arrived;
  barrier.release_if_all();
  back_to_scheduler(false);
  fiber->waits_at = nullptr;
}

void run_thread() {
  arrive();
  scheduler->entry(scheduler->arguments);
  Fiber* fiber = scheduler->running;
  fiber->done = true;
  for (Barrier* barrier : {&scheduler->barrier, &warp().barrier}) {
    --barrier->alive;
    barrier->release_if_all();
  }
  back_to_scheduler(true);
}

void resume(Fiber& fiber) {
  scheduler->running = &fiber;
  go_to(fiber);
}

void begin(Fiber& fiber) {
  fiber.done = false, fiber.waits_at = nullptr;
#ifndef __SANITIZE_ADDRESS__
  fiber.begun = false;
#endif
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_thread, 0);
}

void start_block(Index index) {
  Scheduler& s = *scheduler;
  const int threads = (int)s.fibers.size();
  s.block.index = index;
  s.barrier = {threads, 0, 0};
  std::fill(s.shared.begin(), s.shared.end(), 0xFF);  // NaN, so that what was never written shows
  for (int w = 0; w < (int)s.warps.size(); ++w) s.warps[w].barrier = {std::min(WARP, threads - w * WARP), 0, 0};
  for (auto& fiber : s.fibers) begin(*fiber);
}

// In turn, each as far as its next wait; or ahead: always the first that can go on, so that its warp leaves the others
// as far behind as the barriers let it.
void run_block(const std::vector<int>& order, bool ahead) {
  while (scheduler->barrier.alive > 0) {
    bool moved = false;
    for (int i : order) {
      Fiber& fiber = *scheduler->fibers[i];
      if (!fiber.ready()) continue;
      resume(fiber), moved = true;
      if (ahead) break;
    }
    if (!moved) throw std::runtime_error("some threads wait at a barrier, or in their warp, that others never reach");
  }
}

// The stack of the n-th thread; kept from launch to launch, as new memory has to be cleared by the system.
void* stack(int n) {
  static std::vector<void*> stacks;
  while ((int)stacks.size() <= n) {
    void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory for the threads' stacks");
    stacks.push_back(memory);
  }
  return stacks[n];
}

void prepare(const unsigned* grid, const unsigned* size, unsigned shared_bytes) {
  Scheduler& s = *scheduler;
  const int threads = (int)(size[0] * size[1] * size[2]);
  s.block.size = {size[0], size[1], size[2]};
  s.block.grid = {grid[0], grid[1], grid[2]};
  s.shared.resize(shared_bytes + 16);
  s.warps.resize((threads + WARP - 1) / WARP);
  for (int i = 0; i < threads; ++i) {
    s.fibers.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *s.fibers.back();
    fiber.number = i;
    fiber.index = {i % size[0], i / size[0] % size[1], i / (size[0] * size[1])};
    fiber.stack = stack(i);
  }
}

std::vector<int> resuming_order(int threads, unsigned order) {
  std::vector<int> numbers(threads);
  for (int i = 0; i < threads; ++i) numbers[i] = order == 1 || order == 3 ? threads - 1 - i : i;
  if (order > 3) std::shuffle(numbers.begin(), numbers.end(), std::mt19937(order));
  return numbers;
}

}  // namespace

const Thread& this_thread() { return *scheduler->running; }
const Block& this_block() { return scheduler->block; }
int lane() { return scheduler->running->number % WARP; }
void* slot(int lane) { return warp().slots[lane]; }
void wait_for_block() { wait(scheduler->barrier); }
void wait_for_warp() { wait(warp().barrier); }

void* dynamic_shared() {
  const auto address = reinterpret_cast<std::uintptr_t>(scheduler->shared.data());
  return reinterpret_cast<void*>((address + 15) & ~std::uintptr_t(15));
}

int run(Entry entry, void** arguments, const unsigned* grid, const unsigned* block, unsigned shared_bytes,
        unsigned order, char* message) {
  Scheduler own;
  scheduler = &own;
  own.entry = entry, own.arguments = arguments;
  try {
    prepare(grid, block, shared_bytes);
    const auto numbers = resuming_order((int)own.fibers.size(), order);
    for (unsigned z = 0; z < grid[2]; ++z)
      for (unsigned y = 0; y < grid[1]; ++y)
        for (unsigned x = 0; x < grid[0]; ++x) {
          start_block({x, y, z});
          run_block(numbers, order == 2 || order == 3);
        }
  } catch (const std::exception& error) {
    std::snprintf(message, 256, "block (%u, %u, %u): %s", own.block.index.x, own.block.index.y, own.block.index.z,
                  error.what());
    return 1;
  }
  return 0;
}

}  // namespace emulator
