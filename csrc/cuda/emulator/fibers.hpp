// The threads of a CUDA block as fibers: which one runs, where it waits, and what a warp hands round.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace emulator {

struct Index { unsigned x = 0, y = 0, z = 0; };
struct Size { unsigned x = 1, y = 1, z = 1; };

struct Thread { Index index; };
struct Block { Index index; Size size, grid; };

const Thread& this_thread();
const Block& this_block();
int lane();             // the running thread's place in its warp
void* dynamic_shared();  // the block's memory of the size asked for at launch

void wait_for_block();  // __syncthreads
void wait_for_warp();   // __syncwarp

constexpr int SLOT_BYTES = 64;
void* slot(int lane);  // memory of a lane of this warp that its others may read between two waits

// Every lane gives a value and takes that of lane `from`.
template <class T>
T exchange(const T& value, int from) {
  static_assert(sizeof(T) <= SLOT_BYTES);
  std::memcpy(slot(lane()), &value, sizeof(T));
  wait_for_warp();
  T taken;
  std::memcpy(&taken, slot(from), sizeof(T));
  wait_for_warp();
  return taken;
}

using Entry = void (*)(void** arguments);

// Run a kernel over a grid. order: 0 resumes threads in turn by number, 1 the other way round; 2 lets the first warp run
// ahead of the others as far as it can, 3 the last; more shuffle them. A kernel that lacks no barrier gives the same
// bits in any order. Returns 0, or 1 with the reason in `message` (256 bytes).
int run(Entry entry, void** arguments, const unsigned* grid, const unsigned* block, unsigned shared_bytes,
        unsigned order, char* message);

template <class... Parameters, std::size_t... I>
void unpack(void (*kernel)(Parameters...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_reference_t<Parameters>*>(arguments[I])...);
}

template <class... Parameters>
void call(void (*kernel)(Parameters...), void** arguments) {
  unpack(kernel, arguments, std::index_sequence_for<Parameters...>());
}

}  // namespace emulator

// Makes a kernel callable from outside: run_NAME(arguments, grid, block, shared_bytes, order, message).
#define EMULATED(name)                                                                                            \
  extern "C" int run_##name(void** arguments, const unsigned* grid, const unsigned* block, unsigned shared_bytes, \
                            unsigned order, char* message) {                                                      \
    return emulator::run([](void** a) { emulator::call(name, a); }, arguments, grid, block, shared_bytes, order,  \
                         message);                                                                                \
  }
