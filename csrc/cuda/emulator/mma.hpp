// What mma.cuh's instructions do, element by element.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

static inline void mma_m16n8k16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const int lane = emulator::lane(), group = lane / 4, in_group = lane % 4;
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  std::memcpy(emulator::slot(lane), mine, sizeof mine);
  emulator::wait_for_warp();
  const auto element = [](int of_lane, int register_, int k) {
    uint32_t pair;
    std::memcpy(&pair, static_cast<unsigned char*>(emulator::slot(of_lane)) + 4 * register_, 4);
    return __uint_as_float(k % 2 ? pair & 0xFFFF0000u : pair << 16);
  };
  for (int i = 0; i < 4; ++i) {
    const int lower = i / 2, column = 2 * in_group + i % 2;  // row group + 8 lower
    for (int k = 0; k < 16; ++k) {
      const int holder = k % 8 / 2, upper = k / 8;
      c[i] += element(4 * group + holder, lower + 2 * upper, k) * element(4 * column + holder, 4 + upper, k);
    }
  }
  emulator::wait_for_warp();
}

namespace emulator {

// A GPU would stop here, too.
inline void check_aligned(const void* address) {
  if (reinterpret_cast<std::uintptr_t>(address) % 16 == 0) return;
  std::fputs("16 bytes at an address that isn't aligned\n", stderr);
  std::abort();
}

// The addresses of the 32 rows of four matrices.
inline void give_row(const void* row) {
  check_aligned(row);
  std::memcpy(slot(lane()), &row, sizeof row);
  wait_for_warp();
}

inline uint32_t element_of(int matrix, int row, int column) {
  const unsigned char* address;
  std::memcpy(&address, slot(8 * matrix + row), sizeof address);
  uint16_t bits;
  std::memcpy(&bits, address + 2 * column, 2);
  return bits;
}

// Copies are made as late as a GPU may make them, when they are waited for: a wait that is missing shows.
struct Copy {
  void* to;
  const void* from;
  bool there;
};
struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};
inline Copies copies[1024];  // of each thread of the block

inline Copies& my_copies() {
  const Index i = this_thread().index;
  const Size size = this_block().size;
  return copies[i.x + size.x * (i.y + size.y * i.z)];
}

}  // namespace emulator

static inline void ldmatrix_x4(uint32_t (&r)[4], const bfloat16* tile, int row) {
  emulator::give_row(tile + row);
  const int group = emulator::lane() / 4, first = emulator::lane() % 4 * 2;
  for (int i = 0; i < 4; ++i)
    r[i] = emulator::element_of(i, group, first) | emulator::element_of(i, group, first + 1) << 16;
  emulator::wait_for_warp();
}

static inline void ldmatrix_x4_trans(uint32_t (&r)[4], const bfloat16* tile, int row) {
  emulator::give_row(tile + row);
  const int group = emulator::lane() / 4, first = emulator::lane() % 4 * 2;
  for (int i = 0; i < 4; ++i)
    r[i] = emulator::element_of(i, first, group) | emulator::element_of(i, first + 1, group) << 16;
  emulator::wait_for_warp();
}

static inline void copy_async_16(bfloat16* tile, int to, const void* from, bool there) {
  emulator::check_aligned(tile + to);
  if (there) emulator::check_aligned(from);
  emulator::my_copies().open.push_back({tile + to, from, there});
}

static inline void commit_copies() {
  emulator::Copies& mine = emulator::my_copies();
  mine.groups.push_back(std::move(mine.open));
  mine.open.clear();
}

template <int GROUPS>
void wait_for_copies() {
  auto& groups = emulator::my_copies().groups;
  for (; groups.size() > GROUPS; groups.pop_front())
    for (const emulator::Copy& copy : groups.front()) {
      std::memset(copy.to, 0, 16);
      if (copy.there) std::memcpy(copy.to, copy.from, 16);
    }
}

static inline float exp2_approximate(float x) { return std::exp2(x); }
