// What the instructions of mma.cuh do, for the test to compare with what the PTX ISA says of fragments; and where
// attention_tile.cuh puts a tile's chunks.
#include "attention_tile.cuh"

// c (16, 8) += a (16, 16) b (16, 8). Elements go where the PTX ISA says, "Matrix Fragments for mma.m16n8k16".
extern "C" __global__ void multiply(const bfloat16* a, const bfloat16* b, float* c) {
  const int group = threadIdx.x >> 2, in_group = threadIdx.x % 4;
  uint32_t of_a[4] = {}, of_b[2] = {};
  for (int i = 0; i < 8; ++i) {
    const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
    const int column = in_group * 2 + (i & 1) + (i < 4 ? 0 : 8);
    of_a[i / 2] |= (uint32_t)a[row * 16 + column].bits << (16 * (i % 2));
  }
  for (int i = 0; i < 4; ++i) {
    const int row = in_group * 2 + (i & 1) + (i < 2 ? 0 : 8);
    of_b[i / 2] |= (uint32_t)b[row * 8 + group].bits << (16 * (i % 2));
  }
  float of_c[4];
  const auto place = [&](int i) { return (i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1); };
  for (int i = 0; i < 4; ++i) of_c[i] = c[place(i)];
  mma_m16n8k16(of_c, of_a, of_b[0], of_b[1]);
  for (int i = 0; i < 4; ++i) c[place(i)] = of_c[i];
}

// x: (32, 8), the rows of four matrices. plain, transposed: (32 lanes, 8), what each lane gets, register by register.
extern "C" __global__ void load(const bfloat16* x, bfloat16* plain, bfloat16* transposed) {
  DYNAMIC_SHARED(bfloat16, tile);
  const int lane = threadIdx.x;
  copy_async_16(tile, 8 * lane, x + 8 * lane, true);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  uint32_t r[4];
  ldmatrix_x4(r, tile, 8 * lane);
  for (int i = 0; i < 8; ++i) plain[8 * lane + i].bits = (uint16_t)(r[i / 2] >> (16 * (i % 2)));
  ldmatrix_x4_trans(r, tile, 8 * lane);
  for (int i = 0; i < 8; ++i) transposed[8 * lane + i].bits = (uint16_t)(r[i / 2] >> (16 * (i % 2)));
}

// Three groups of copies, of which the last may still be on its way when the others are read; one of zeros.
extern "C" __global__ void copy(const bfloat16* x, bfloat16* early, bfloat16* late) {
  DYNAMIC_SHARED(bfloat16, tile);
  for (int i = 0; i < 3; ++i) {
    copy_async_16(tile, 8 * i, x + 8 * i, i != 1);
    commit_copies();
  }
  wait_for_copies<1>();
  for (int i = 0; i < 24; ++i) early[i] = tile[i];
  wait_for_copies<0>();
  for (int i = 0; i < 24; ++i) late[i] = tile[i];
}

// out: (8 rows, D / 8 chunks), where each begins.
template <int D>
void places_of(int* out) {
  for (int i = 0; i < D; ++i) out[i] = place<D>(i / (D / 8), i % (D / 8));
}

extern "C" __global__ void places(int* of_32, int* of_64, int* of_96, int* of_128) {
  places_of<32>(of_32), places_of<64>(of_64), places_of<96>(of_96), places_of<128>(of_128);
}
