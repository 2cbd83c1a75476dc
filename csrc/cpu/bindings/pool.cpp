// The pool as NumPy's allocator (NumPy Enhancement Proposal 49), and its figures.
#include <numpy/arrayobject.h>

#include "arrays.hpp"
#include "pool.hpp"

namespace minillm {

static PyDataMem_Handler handler = {
    "minillm_pool",
    1,
    {
        nullptr,
        [](void*, size_t bytes) { return pool::allocate(bytes, false); },
        [](void*, size_t count, size_t size) -> void* {
          size_t bytes;
          return __builtin_mul_overflow(count, size, &bytes) ? nullptr : pool::allocate(bytes, true);
        },
        [](void*, void* block, size_t bytes) { return pool::reallocate(block, bytes); },
        [](void*, void* block, size_t) { pool::release(block); },
    },
};

// Arrays made from here on, in this thread, come from the pool. Each remembers where it came from, so old ones stay
// valid.
static void use_pool() {
  if (_import_array() < 0) throw nb::python_error();
  PyObject* capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
  if (!capsule) throw nb::python_error();
  PyObject* before = PyDataMem_SetHandler(capsule);
  Py_DECREF(capsule);
  if (!before) throw nb::python_error();
  Py_DECREF(before);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool HAS_POOL = false;  // it would hide from the sanitizer where an array ends
#else
constexpr bool HAS_POOL = true;
#endif

void bind_pool(nb::module_& m) {
  m.attr("HAS_POOL") = HAS_POOL;
  m.def("use_pool", &use_pool, "Let NumPy's arrays come from the pool.");
  m.def("trim_pool", &pool::trim, "Give memory that the pool keeps back to the system.");
  m.def("reset_pool_peak", &pool::reset_peak);
  m.def("pool_bytes", [] {
    const pool::Statistics s = pool::statistics();
    nb::dict figures;
    figures["used"] = s.used;
    figures["peak"] = s.peak;
    figures["kept"] = s.kept;
    return figures;
  }, "Bytes of large arrays: used, used at most since reset_pool_peak, kept for reuse.");
}

}  // namespace minillm
