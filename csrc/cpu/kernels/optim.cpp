// AdamW, one pass over memory: each element of the four arrays is read once and three of them are written once.
#include "kernels.hpp"
#include "kernels/rows.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

namespace minillm::ISA {

constexpr int64_t CHUNK = 1 << 16;  // elements of one array that a thread takes at a time, whatever their number

inline int64_t chunks_of(int64_t n) { return (n + CHUNK - 1) / CHUNK; }

// Run work(array, begin, end, chunk) on every chunk of every array, by all threads.
template <class Size, class Work>
static void for_chunks(int64_t count, Size size, Work work) {
  int64_t chunks = 0;
  for (int64_t i = 0; i < count; ++i) chunks += chunks_of(size(i));
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    int64_t array = 0, first = 0;  // `first`: the number of the array's first chunk
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      while (chunk >= first + chunks_of(size(array))) first += chunks_of(size(array++));
      const int64_t start = (chunk - first) * CHUNK;
      work(array, start, std::min(start + CHUNK, size(array)), chunk);
    }
  });
}

// With g scaled:  m <- m + (1 - beta1)(g - m);  v <- v + (1 - beta2)(g^2 - v);  
// theta <- kept theta - step m / (root sqrt(v) + eps)
static void update(const AdamTensor& t, int64_t begin, int64_t end, const AdamConstants& c) {
  const float kept = t.decays ? c.kept : 1.0f;
  for_vectors(end - begin, [&](int64_t j, int64_t left) {
    const int64_t i = begin + j;
    const vec g = load_up_to(t.g + i, left) * c.scale;
    vec m = load_up_to(t.m + i, left), v = load_up_to(t.v + i, left);
    m += c.gain1 * (g - m);
    v += c.gain2 * (g * g - v);
    const vec change = m / (sqrt(v) * c.root + c.eps);
    store_up_to(t.theta + i, load_up_to(t.theta + i, left) * kept - c.step * change, left);
    store_up_to(t.m + i, m, left);
    store_up_to(t.v + i, v, left);
  });
}

void adam_step(const AdamTensor* tensors, int64_t count, const AdamConstants& constants) {
  for_chunks(count, [&](int64_t i) { return tensors[i].n; },
             [&](int64_t i, int64_t begin, int64_t end, int64_t) { update(tensors[i], begin, end, constants); });
}

// A sum for each chunk, added in order: the same bits for any number of threads.
double sum_of_squares(const float* const* arrays, const int64_t* sizes, int64_t count) {
  int64_t chunks = 0;
  for (int64_t i = 0; i < count; ++i) chunks += chunks_of(sizes[i]);
  double* parts = static_cast<double*>(scratch(chunks * sizeof(double)));
  for_chunks(count, [&](int64_t i) { return sizes[i]; }, [&](int64_t i, int64_t begin, int64_t end, int64_t chunk) {
    parts[chunk] = sum_over(end - begin, [x = arrays[i] + begin](int64_t j, int64_t left) {
      const vec v = load_up_to(x + j, left);
      return v * v;
    });
  });
  double total = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) total += parts[chunk];
  return total;
}

void scale_arrays(float* const* arrays, const int64_t* sizes, int64_t count, float by) {
  for_chunks(count, [&](int64_t i) { return sizes[i]; }, [&](int64_t a, int64_t begin, int64_t end, int64_t) {
    float* x = arrays[a] + begin;
    for_vectors(end - begin, [&](int64_t j, int64_t left) { store_up_to(x + j, load_up_to(x + j, left) * by, left); });
  });
}

}  // namespace minillm::ISA
