// How NumPy arrays reach the kernels: contiguous, of the right type, checked before any pointer is taken.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <type_traits>
#include <utility>

namespace minillm {

namespace nb = nanobind;

// In C order, on the CPU. With `define` below another dtype or stride is a TypeError, not a silent copy.
template <class T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// ValueError unless the rule holds. The Python side checks shapes with better words; this is the last line.
inline void require(bool rule, const char* message) {
  if (!rule) throw nb::value_error(message);
}

template <class T>
auto argument() {
  if constexpr (std::is_arithmetic_v<T>)
    return nb::arg();
  else
    return nb::arg().noconvert();
}

// m.def with conversion off for arrays: nanobind would copy one of another type, and results written to it be lost.
template <class F, class R, class... Arguments, class... Options>
void define_as(nb::module_& m, const char* name, F&& f, R (F::*)(Arguments...) const, const Options&... options) {
  m.def(name, std::forward<F>(f), argument<Arguments>()..., options...);
}

template <class F, class... Options>
void define(nb::module_& m, const char* name, F f, const Options&... options) {
  define_as(m, name, std::move(f), &F::operator(), options...);
}

// Kernels run without the interpreter's lock: other Python threads go on meanwhile.
using Released = nb::gil_scoped_release;

void bind_activation(nb::module_& m);
void bind_attention(nb::module_& m);
void bind_bpe(nb::module_& m);
void bind_dropout(nb::module_& m);
void bind_embedding(nb::module_& m);
void bind_gemm(nb::module_& m);
void bind_gemv(nb::module_& m);
void bind_ladder(nb::module_& m);
void bind_loss(nb::module_& m);
void bind_norm(nb::module_& m);
void bind_optim(nb::module_& m);
void bind_peaks(nb::module_& m);
void bind_pool(nb::module_& m);
void bind_softmax(nb::module_& m);

}  // namespace minillm
