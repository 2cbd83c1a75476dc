// How NumPy arrays reach the kernels: contiguous, of the right type, checked before any pointer is taken.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

namespace minillm {

namespace nb = nanobind;

// In C order, on the CPU, never converted or copied: another dtype or stride is a TypeError, not a silent copy.
template <class T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// ValueError unless the rule holds. The Python side checks shapes with better words; this is the last line.
inline void require(bool rule, const char* message) {
  if (!rule) throw nb::value_error(message);
}

// Kernels run without the interpreter's lock: other Python threads go on meanwhile.
using Released = nb::gil_scoped_release;

void bind_activation(nb::module_& m);
void bind_attention(nb::module_& m);

}  // namespace minillm
