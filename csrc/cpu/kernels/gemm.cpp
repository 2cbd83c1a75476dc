// The five loops around the micro-kernel (Goto & van de Geijn 2008; Van Zee & van de Geijn 2015, figure 1, though with
// other cache levels: see the constants).
//
// Blocks of B and A are packed into memory that the caches hold, then multiplied tile by tile. Threads share a block:
// each packs some of its panels, all wait, each takes groups of tiles until none is left. Within a block a tile is
// computed by one thread, over k from first to last, and the blocks of k follow one another: so the result doesn't depend
// on the number of threads.
#include "kernels.hpp"
#include "kernels/gemm/pack.hpp"
#include "kernels/gemm/tile.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

#include <atomic>

namespace minillm::ISA {

constexpr int64_t BLOCK_DEPTH = 768;                // packed elements along k in a block: C is read and written once for each
constexpr int64_t BLOCK_ROWS = 144 * ROWS;          // of A: block in the L3 cache
constexpr int64_t BLOCK_COLUMNS = 96 * COLUMNS;     // of B: block in the L3 cache
constexpr int64_t GROUP_COLUMNS = 3;                // panels of B that stay in the L2 cache while panels of A pass
constexpr int64_t GROUP_ROWS = 8;                   // panels of A in a group, the unit of work a thread takes
constexpr int64_t GROUPS = 4;                       // aimed at for each thread, so that none waits long for the others
constexpr int64_t WORTH_A_THREAD = 1 << 19;         // multiply-adds; fewer are done before a second thread wakes up

inline int64_t ceil_div(int64_t n, int64_t by) { return (n + by - 1) / by; }

// The size of equal blocks, none above `most`, in multiples of `unit`.
inline int64_t equal_block(int64_t n, int64_t most, int64_t unit) {
  return ceil_div(ceil_div(n, ceil_div(n, most)), unit) * unit;
}

template <class Element>
class Blocked {
 public:
  Blocked(const Product& p, float* memory)
      : p(p),
        depth(equal_block(p.k, BLOCK_DEPTH * Element::K, Element::K)),
        rows(equal_block(p.m, BLOCK_ROWS, ROWS)),
        columns(equal_block(p.n, BLOCK_COLUMNS, COLUMNS)),
        a_panel(Panels<Element, ROWS>::floats(depth)),
        b_panel(Panels<Element, COLUMNS>::floats(depth)),
        a_block(memory),
        b_block(memory + a_panel * (rows / ROWS)) {}

  // Floats that the packed blocks of a product take.
  static int64_t floats(const Product& p) {
    const Blocked b(p, nullptr);
    return b.b_block - b.a_block + b.b_panel * (b.columns / COLUMNS);
  }

  // The part of thread `thread` of `count` that work on this together.
  void run(int thread, int count) {
    for (int64_t j = 0; j < p.n; j += columns)
      for (int64_t k = 0; k < p.k; k += depth) {
        pack_b(k, j, thread, count);
        for (int64_t i = 0; i < p.m; i += rows) {
          pack_a(i, k, thread, count);
          if (thread == 0) next = 0;
          wait(count);
          multiply_block(i, j, k, count);
          wait(count);
        }
      }
  }

 private:
  static void wait(int count) {
    if (count > 1) barrier();
  }

  void pack_a(int64_t i, int64_t k, int thread, int count) {
    const Source source{p.a.data + i * p.a.row + k * p.a.column, p.a.row, p.a.column};
    pack_share<ROWS>(source, std::min(rows, p.m - i), k, a_block, thread, count);
  }

  void pack_b(int64_t k, int64_t j, int thread, int count) {
    const Source source{p.b.data + k * p.b.row + j * p.b.column, p.b.column, p.b.row};
    pack_share<COLUMNS>(source, std::min(columns, p.n - j), k, b_block, thread, count);
  }

  // The panels of a block, `width` rows or columns of the source from k on, that are this thread's share.
  template <int64_t W>
  void pack_share(Source source, int64_t width, int64_t k, float* block, int thread, int count) {
    using Packed = Panels<Element, W>;
    const int64_t panels = ceil_div(width, W), begin = panels * thread / count, end = panels * (thread + 1) / count;
    source.data += begin * W * source.across;
    Packed::pack(source, std::min(end * W, width) - begin * W, std::min(depth, p.k - k), Packed::floats(depth),
                 block + begin * Packed::floats(depth));
  }

  // All tiles of one packed block, in groups taken by whichever thread is free.
  void multiply_block(int64_t i0, int64_t j0, int64_t k0, int count) {
    const int64_t a_panels = ceil_div(std::min(rows, p.m - i0), ROWS);
    const int64_t b_panels = ceil_div(std::min(columns, p.n - j0), COLUMNS);
    const int64_t across = ceil_div(b_panels, GROUP_COLUMNS);
    const int64_t height = std::clamp<int64_t>(a_panels * across / (GROUPS * count), 1, GROUP_ROWS);
    const int64_t down = ceil_div(a_panels, height);
    for (int64_t group; (group = next.fetch_add(1, std::memory_order_relaxed)) < across * down;) {
      const int64_t a_first = group % down * height, b_first = group / down * GROUP_COLUMNS;
      for (int64_t a = a_first; a < std::min(a_first + height, a_panels); ++a)
        for (int64_t b = b_first; b < std::min(b_first + GROUP_COLUMNS, b_panels); ++b)
          multiply_tile(i0, j0, k0, a, b);
    }
  }

  void multiply_tile(int64_t i0, int64_t j0, int64_t k0, int64_t a, int64_t b) {
    const int64_t i = i0 + a * ROWS, j = j0 + b * COLUMNS;
    const Place place{i, j, std::min(ROWS, p.m - i), std::min(COLUMNS, p.n - j), k0 == 0, k0 + depth >= p.k};
    const int64_t steps = ceil_div(std::min(depth, p.k - k0), Element::K);
    fetch(p, place);
    Tile tile;
    multiply_rows<Element>(place.rows, a_block + a * a_panel, b_block + b * b_panel, steps, tile);
    write(p, place, tile);
  }

  const Product& p;
  const int64_t depth, rows, columns;    // of a block
  const int64_t a_panel, b_panel;        // floats in a panel
  float* const a_block;
  float* const b_block;
  std::atomic<int64_t> next{0};          // group of tiles that no thread has taken yet
};

// With nothing to sum over: the epilogue of zeros.
static void write_empty(const Product& p) {
  const Tile zeros{};
  for (int64_t i = 0; i < p.m; i += ROWS)
    for (int64_t j = 0; j < p.n; j += COLUMNS)
      write(p, {i, j, std::min(ROWS, p.m - i), std::min(COLUMNS, p.n - j), true, true}, zeros);
}

template <class Element>
static void run(const Product& p, int threads) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) return write_empty(p);
  Blocked<Element> blocked(p, static_cast<float*>(scratch(Blocked<Element>::floats(p) * sizeof(float))));
  parallel(threads, [&](int thread, int count) { blocked.run(thread, count); });
}

static void run(const Product& p, int threads) {
  if (p.precision == Precision::bfloat16)
    run<Bfloat16>(p, threads);
  else
    run<Float32>(p, threads);
}

static int64_t useful_threads(int64_t work) { return std::clamp<int64_t>(work / WORTH_A_THREAD, 1, 1 << 10); }

void gemm(const Product& p) { run(p, (int)useful_threads(p.m * p.n * p.k)); }

static Product of_batch(Product p, int64_t index, int64_t a_step, int64_t b_step) {
  p.a.data += index * a_step;
  p.b.data += index * b_step;
  p.c += index * p.m * p.n;
  return p;
}

void gemm_batch(const Product& first, int64_t count, int64_t a_step, int64_t b_step) {
  const int64_t work = first.m * first.n * first.k;
  if (count < threads()) {  // few large products: the team does one after the other
    for (int64_t i = 0; i < count; ++i) gemm(of_batch(first, i, a_step, b_step));
    return;
  }
  parallel_for(count, std::max<int64_t>(1, WORTH_A_THREAD / std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(of_batch(first, i, a_step, b_step), 1);
  });
}

}  // namespace minillm::ISA
