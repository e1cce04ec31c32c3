// What the families of bindings share. Callers pass addresses and sizes and keep the memory alive; the Python side
// checks meaning, a binding only what would crash.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>

namespace shotstream {

using Address = std::uintptr_t;

template <typename T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

void bind_cuda_ops(pybind11::module_& m);
void bind_denoise(pybind11::module_& m);
void bind_pack(pybind11::module_& m);
void bind_ring(pybind11::module_& m);

}  // namespace shotstream
