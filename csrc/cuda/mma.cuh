// The instructions by which a warp multiplies bfloat16 matrices on tensor cores (compute capability 8.0 and later; PTX
// ISA: "Matrix Fragments for mma.m16n8k16", "ldmatrix", "cp.async"), and what they mean, for the emulator.
//
// A matrix lies spread over the 32 lanes of a warp as fragments. With g = lane / 4 and t = lane % 4, a lane holds
//
//   A (16 x 16), 4 registers of 2      B (16 x 8), 2 registers of 2     C (16 x 8), 4 floats
//        columns  2t, 2t+1  2t+8, 2t+9        column  g                      columns  2t   2t+1
//   row g         a[0]      a[2]         rows 2t, 2t+1    b0            row g         c[0] c[1]
//   row g + 8     a[1]      a[3]         rows 2t+8, 2t+9  b1            row g + 8     c[2] c[3]
//
// the lower half of a register being the element of the lower number. So C, rounded, is half of an A as it stands: the
// fragments of two neighbouring C are those of one A.
#pragma once

#include "common.cuh"

#ifdef __CUDACC__

// c += A B, added up in float32.
static __device__ __forceinline__ void mma_m16n8k16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Of an element of a tile in shared memory; 32 bits, since addresses there need no more.
static __device__ __forceinline__ uint32_t shared_address(const bfloat16* tile, int element) {
  return (uint32_t)__cvta_generic_to_shared(tile) + 2 * element;
}

// Four 8 x 8 matrices from a tile in shared memory. Lane 8 i + j says where row j of matrix i begins, 16 bytes;
// register i gets, of matrix i, elements 2t and 2t+1 of row g.
static __device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const bfloat16* tile, int row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(tile, row))
               : "memory");
}

// The same of the transposed matrices: elements 2t and 2t+1 of column g.
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const bfloat16* tile, int row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(tile, row))
               : "memory");
}

// Begins to copy 16 bytes into a tile in shared memory, past the registers and the L1 cache; zeros unless `there`, and
// then the source isn't read.
static __device__ __forceinline__ void copy_async_16(bfloat16* tile, int to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(tile, to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}

// Closes the group of the copies begun since the last one.
static __device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the last GROUPS groups of this thread are still on their way.
template <int GROUPS>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
}

// 2^x to about 2 units in the last place; 0 for -infinity and where the result would be subnormal.
static __device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#else

#include "emulator/mma.hpp"

#endif
