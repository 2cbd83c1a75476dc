// Embedding: y_t = W[id_t], and its gradient dW[v] = sum of dy_t over the t with id_t = v.
//
// The gradient's sums have one order, that of the text, so the same bits come out every time. Places in the text are
// sorted by id (a stable radix sort: count, scan, place, for each 8 bits); then each block adds up the rows of 64
// sorted places. An id that goes on beyond them is finished by embedding_backward_join. So an id that makes up half of
// the text, such as padding, is still added up by many blocks, and nothing waits to know how many ids there are.
//
// W: (rows, d); ids: (n), of which those outside [0, rows) give rows of NaN and get no gradient; y, dy: (n, d).
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int ROWS = THREADS / WARP;  // of y, written by a block: a warp each

// Eight bfloat16 are made of two packs of floats, four floats are one.
template <class T>
__device__ void embedding_forward(const float* weight, const int64_t* ids, T* y, int64_t n, int64_t rows, int d) {
  const int64_t t = (int64_t)blockIdx.x * ROWS + threadIdx.y;
  if (t >= n) return;
  const int64_t id = ids[t];
  const bool known = id >= 0 && id < rows;
  const float* const from = weight + (known ? id * d : 0);
  T* const to = y + t * d;
  constexpr int N = Pack<T>::size, M = Pack<float>::size;
  const int in_packs = d % N == 0 && is_aligned(weight) && is_aligned(y) && known ? d : 0;
  for (int j = threadIdx.x * N; j < in_packs; j += WARP * N) {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < N; i += M) {
      const Pack<float> part = load_pack(from + j + i);
#pragma unroll
      for (int k = 0; k < M; ++k) pack.values[i + k] = from_float<T>(part.values[k]);
    }
    store_pack(to + j, pack);
  }
  const float nan = __uint_as_float(0x7FC00000u);
  for (int j = in_packs + threadIdx.x; j < d; j += WARP) to[j] = from_float<T>(known ? from[j] : nan);
}

// ---- sorting the places in the text by id ----

constexpr int BUCKETS = 256;
constexpr int TILE = 1024;  // places that a warp counts and moves

// The id at a place; of all that are unknown the same, larger than any other.
__device__ __forceinline__ int64_t id_at(const int64_t* ids, int place, int64_t rows) {
  const int64_t id = ids[place];
  return id >= 0 && id < rows ? id : rows;
}

// The digit by which this round sorts of the i-th place in the order so far; none: the order of the text.
__device__ __forceinline__ int digit(const int64_t* ids, const int* order, int64_t i, int64_t rows, int shift) {
  return (int)(id_at(ids, order ? order[i] : (int)i, rows) >> shift & (BUCKETS - 1));
}

// counts: (BUCKETS, tiles), how often a digit occurs in a tile. Blocks of one warp.
extern "C" __global__ __launch_bounds__(WARP) void embedding_sort_count(const int64_t* ids, const int* order,
                                                                        int* counts, int64_t n, int64_t rows,
                                                                        int shift) {
  __shared__ int count[BUCKETS];
  for (int bucket = threadIdx.x; bucket < BUCKETS; bucket += WARP) count[bucket] = 0;
  __syncwarp();
  const int64_t begin = (int64_t)blockIdx.x * TILE, end = min(begin + TILE, n);
  for (int64_t i = begin + threadIdx.x; i < end; i += WARP) atomicAdd(&count[digit(ids, order, i, rows, shift)], 1);
  __syncwarp();
  for (int bucket = threadIdx.x; bucket < BUCKETS; bucket += WARP)
    counts[(int64_t)bucket * gridDim.x + blockIdx.x] = count[bucket];
}

// counts: (n), each replaced by the sum of those before it. One block.
extern "C" __global__ __launch_bounds__(THREADS) void embedding_sort_scan(int* counts, int64_t n) {
  __shared__ int sums[THREADS];
  const int64_t share = (n + THREADS - 1) / THREADS, begin = threadIdx.x * share, end = min(begin + share, n);
  int sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += counts[i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  int before = 0;
  for (int i = 0; i < (int)threadIdx.x; ++i) before += sums[i];
  for (int64_t i = begin; i < end; ++i) {
    const int here = counts[i];
    counts[i] = before;
    before += here;
  }
}

// placed: (n), the order with this digit sorted, equal ones as they were. counts: scanned. Blocks of one warp.
extern "C" __global__ __launch_bounds__(WARP) void embedding_sort_place(const int64_t* ids, const int* order,
                                                                        const int* counts, int* placed, int64_t n,
                                                                        int64_t rows, int shift) {
  __shared__ int next[BUCKETS];
  for (int bucket = threadIdx.x; bucket < BUCKETS; bucket += WARP)
    next[bucket] = counts[(int64_t)bucket * gridDim.x + blockIdx.x];
  const int64_t begin = (int64_t)blockIdx.x * TILE, end = min(begin + TILE, n);
  for (int64_t first = begin; first < end; first += WARP) {
    const int64_t i = first + threadIdx.x;
    const bool there = i < end;
    const int own = there ? digit(ids, order, i, rows, shift) : 0;
    unsigned equals = __ballot_sync(ALL_LANES, there);  // the lanes with this lane's digit
    for (int bit = 1; bit < BUCKETS; bit *= 2) {
      const unsigned set = __ballot_sync(ALL_LANES, own & bit);
      equals &= own & bit ? set : ~set;
    }
    const int rank = __popc(equals & ((1u << threadIdx.x) - 1));
    __syncwarp();  // the last round's additions
    const int slot = there ? next[own] + rank : 0;
    __syncwarp();
    if (there && rank == 0) next[own] += __popc(equals);
    if (there) placed[slot] = order ? order[i] : (int)i;
  }
}

// ---- adding up the rows of each id ----

constexpr int CHUNK = 64;   // sorted places of a block
constexpr int AT_ONCE = 8;  // rows read before they are added, so that enough bytes are on their way
constexpr int STRIP_THREADS = 64;

template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Columns {
  T values[N];
};

struct Sorted {
  int count;                  // places in this chunk
  int places[CHUNK];
  int64_t ids[CHUNK], before;  // `before`: the id of the place before the chunk, or -1
};

// By all threads of the block.
__device__ void load_chunk(Sorted& chunk, const int64_t* ids, const int* order, int64_t n, int64_t rows) {
  const int64_t begin = (int64_t)blockIdx.x * CHUNK;
  const int count = (int)min((int64_t)CHUNK, n - begin);
  for (int i = threadIdx.x; i < count; i += STRIP_THREADS) {
    chunk.places[i] = order[begin + i];
    chunk.ids[i] = id_at(ids, order[begin + i], rows);
  }
  if (threadIdx.x == 0) {
    chunk.count = count;
    chunk.before = begin ? id_at(ids, order[begin - 1], rows) : -1;
  }
  __syncthreads();
}

template <int N>
__device__ __forceinline__ void write_sums(Columns<float, N> sums, float* address, bool add) {
  auto* const to = reinterpret_cast<Columns<float, N>*>(address);
  if (add) {
    const Columns<float, N> before = *to;
#pragma unroll
    for (int c = 0; c < N; ++c) sums.values[c] += before.values[c];
  }
  *to = sums;
}

// The chunk's sums in N columns from j on: into dweight where an id begins in this chunk, else into the chunk's heads.
template <class T, int N>
__device__ __forceinline__ void sum_columns(const Sorted& chunk, const T* dy, float* dweight, float* heads,
                                            int64_t rows, int64_t d, bool add, int64_t j) {
  Columns<float, N> sums = {};
  for (int first = 0; first < chunk.count; first += AT_ONCE) {
    Columns<T, N> read[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i)
      if (first + i < chunk.count)
        read[i] = *reinterpret_cast<const Columns<T, N>*>(dy + chunk.places[first + i] * d + j);
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      const int k = first + i;
      if (k >= chunk.count) break;
#pragma unroll
      for (int c = 0; c < N; ++c) sums.values[c] += to_float(read[i].values[c]);
      const int64_t id = chunk.ids[k];
      if (k + 1 < chunk.count && chunk.ids[k + 1] == id) continue;
      if (id == chunk.before)
        write_sums(sums, heads + blockIdx.x * d + j, false);
      else if (id < rows)
        write_sums(sums, dweight + id * d + j, add);
      sums = {};
    }
  }
}

// heads: (chunks, d), for chunks that begin with an id of the chunk before. add: to what is in dweight, else instead.
template <class T>
__device__ void embedding_backward(const T* dy, const int64_t* ids, const int* order, float* dweight, float* heads,
                                   int64_t n, int64_t rows, int64_t d, bool add) {
  __shared__ Sorted chunk;
  load_chunk(chunk, ids, order, n, rows);
  constexpr int N = Pack<T>::size, STRIP = STRIP_THREADS * N;
  const int64_t begin = (int64_t)blockIdx.y * STRIP, end = min(begin + STRIP, d);
  if (d % N == 0 && is_aligned(dy) && is_aligned(dweight)) {
    const int64_t j = begin + threadIdx.x * N;
    if (j < end) sum_columns<T, N>(chunk, dy, dweight, heads, rows, d, add, j);
  } else {
    for (int64_t j = begin + threadIdx.x; j < end; j += STRIP_THREADS)
      sum_columns<T, 1>(chunk, dy, dweight, heads, rows, d, add, j);
  }
}

// dweight[id] += the heads of the chunks that go on with it, for the id that begins in this chunk and ends in another.
extern "C" __global__ __launch_bounds__(STRIP_THREADS) void embedding_backward_join(const int64_t* ids,
                                                                                    const int* order,
                                                                                    const float* heads, float* dweight,
                                                                                    int64_t n, int64_t rows,
                                                                                    int64_t d) {
  const int64_t first = (int64_t)blockIdx.x + 1, chunks = (n + CHUNK - 1) / CHUNK;
  if (first == chunks) return;
  const int64_t id = id_at(ids, order[first * CHUNK - 1], rows);
  const bool began_before = blockIdx.x && id_at(ids, order[blockIdx.x * (int64_t)CHUNK - 1], rows) == id;
  if (id == rows || began_before || id_at(ids, order[first * CHUNK], rows) != id) return;
  int64_t low = first, high = chunks;  // the last chunk that begins with this id is in [low, high)
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (id_at(ids, order[middle * CHUNK], rows) == id ? low : high) = middle;
  }
  const int64_t j = (int64_t)blockIdx.y * STRIP_THREADS + threadIdx.x;
  if (j >= d) return;
  float sum = 0;
#pragma unroll 8
  for (int64_t chunk = first; chunk <= low; ++chunk) sum += heads[chunk * d + j];
  dweight[id * d + j] += sum;
}

#define EMBEDDING(T, NAME)                                                                                          \
  extern "C" __global__ __launch_bounds__(THREADS) void embedding_forward_##NAME(                                   \
      const float* weight, const int64_t* ids, T* y, int64_t n, int64_t rows, int64_t d) {                          \
    embedding_forward(weight, ids, y, n, rows, (int)d);                                                             \
  }                                                                                                                 \
  extern "C" __global__ __launch_bounds__(STRIP_THREADS) void embedding_backward_##NAME(                            \
      const T* dy, const int64_t* ids, const int* order, float* dweight, float* heads, int64_t n, int64_t rows,     \
      int64_t d, int add) {                                                                                         \
    embedding_backward(dy, ids, order, dweight, heads, n, rows, d, add != 0);                                       \
  }
EMBEDDING(float, float32)
EMBEDDING(bfloat16, bfloat16)
