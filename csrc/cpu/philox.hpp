// Philox4x64-10 (Salmon et al. 2011, figure 1 and table 2): random numbers that are a function of a key and a counter.
#pragma once

#include <cstdint>

namespace minillm {

// Four 64-bit numbers for the counter; ten rounds of two products and a bijection each.
static inline void philox(const uint64_t (&counter)[4], uint64_t key, uint64_t (&out)[4]) {
  constexpr uint64_t M0 = 0xD2E7470EE14C6C93, M1 = 0xCA5A826395121157;  // multipliers
  constexpr uint64_t W0 = 0x9E3779B97F4A7C15, W1 = 0xBB67AE8584CAA73B;  // what the key grows by
  uint64_t a = counter[0], b = counter[1], c = counter[2], d = counter[3], k0 = key, k1 = 0;
  for (int round = 0; round < 10; ++round, k0 += W0, k1 += W1) {
    const unsigned __int128 p = (unsigned __int128)M0 * a, q = (unsigned __int128)M1 * c;
    a = (uint64_t)(q >> 64) ^ b ^ k0;
    c = (uint64_t)(p >> 64) ^ d ^ k1;
    b = (uint64_t)q;
    d = (uint64_t)p;
  }
  out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

}  // namespace minillm
